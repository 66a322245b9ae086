"""Nets whose explanations are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier


class Formula(nn.Module):
    """Logits `(f(x), 0)` of the pixels in a row."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        value = self.function(x.flatten(1))
        return torch.stack([value, torch.zeros_like(value)], 1)


@pytest.fixture
def formula():
    """A classifier whose first logit is a function of the pixels `[N, P]`."""
    return lambda function: Classifier(Formula(function))


@pytest.fixture(scope="session")
def conv() -> Classifier:
    """A small convolutional net with global average pooling, in fixed weights, for any size of image."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5),
        )  # fmt: skip
    return Classifier(net.eval(), mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.25])


@pytest.fixture(scope="session")
def images() -> Tensor:
    """Seven images `[7, 3, 20, 16]`."""
    return torch.rand(7, 3, 20, 16, generator=torch.Generator().manual_seed(1))
