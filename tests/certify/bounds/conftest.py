"""Networks whose bounds are known by hand, random ones, and images."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier


def dense(*weights):
    """A net of linear layers with ReLU between them, from (W, b) pairs."""
    layers = [nn.Flatten()]
    for weight, bias in weights:
        layer = nn.Linear(len(weight[0]), len(weight))
        layer.weight.data, layer.bias.data = torch.tensor(weight), torch.tensor(bias)
        layers += [layer, nn.ReLU()]
    return Classifier(nn.Sequential(*layers[:-1])).eval()


def convolutional(seed, channels=1, classes=4):
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 1 * 1, classes),
    )
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) + (0.5 if "var" in name else -0.5))
    model = Classifier(net, mean=[0.3] * channels, std=[0.4] * channels).eval()
    with torch.no_grad():  # every class is met, and none is far
        net[-1].bias -= model(torch.rand(64, channels, 8, 8, generator=generator)).mean(0)
    return model


def samples(n, *shape, seed=0):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def by_hand():
    """x in R^2, h = relu([[1, -1], [1, 1]] x + [0, -1]), z = [[1, 0], [0, 1], [1, 1]] h."""
    return dense(([[1.0, -1.0], [1.0, 1.0]], [0.0, -1.0]), ([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, 0.0]))


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """What the tests build from."""
    return SimpleNamespace(dense=dense, convolutional=convolutional, samples=samples)
