"""Layers of networks in order, and their classifier."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import ModelError
from unshaken.harden.engine.layers import channels_of, probe
from unshaken.harden.surgery.surgery import (
    body_of,
)


def test_sizes_of_the_first_layers_of_vgg16():
    with torch.device("meta"):
        from torchvision.models import vgg16

        net = vgg16()
    net.avgpool, net.classifier = nn.Identity(), nn.Linear(512, 10, device="meta")
    body = body_of(net)
    sizes = {k: v.numel() for k, v in net.state_dict().items()}
    assert sum(sizes.values()) == 14_719_818
    assert len(body.layers) == 13
    for first, count in {2: 38_720, 4: 260_160, 5: 555_328, 6: 1_145_408, 7: 1_735_488}.items():
        assert sum(sizes[k] for layer in body.layers[:first] for k in layer) == count


def test_layers_of_residual_networks_and_transformers():
    from torchvision.models import resnet50, vit_b_16

    with torch.device("meta"):
        net, vit = resnet50(), vit_b_16()
    body = body_of(net)
    assert len(body.layers) == 1 + 16
    assert body.layers[0] == ("conv1.weight", "bn1.weight", "bn1.bias")
    assert body.layers[1][0].startswith("layer1.0.conv1")
    assert any(k.startswith("layer1.0.downsample") for k in body.layers[1])
    assert body.classifier == ("fc.weight", "fc.bias")
    blocks = body_of(vit)
    assert len(blocks.layers) == 1 + 12
    assert blocks.layers[0][0] == "class_token"
    assert blocks.layers[-1][-2:] == ("encoder.ln.weight", "encoder.ln.bias")
    with pytest.raises(ModelError, match="no body"):
        body_of(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))


def net(side, channels=2):
    return nn.Sequential(
        nn.Conv2d(channels, 5, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(5 * (side // 2) ** 2, 7)
    )


def test_channels_are_those_of_the_first_convolution():
    assert channels_of(net(8)) == 2
    assert channels_of(nn.Linear(3, 2)) == 3


def test_shapes_and_classes_at_the_first_side_that_fits():
    model = Classifier(net(28)).train()
    assert probe(model, ["0", "3"]) == ([torch.Size([5, 14, 14]), torch.Size([7])], 7)
    assert model.training


def test_a_view_says_the_size():
    assert probe(Classifier(net(10, 1), view=View(10, 10, channels=1)), ["0"]) == ([torch.Size([5, 5, 5])], 7)


def test_a_model_that_takes_none_of_the_sizes_is_refused():
    with pytest.raises(ModelError, match=r"takes images of none of the sides .*: give a model with a view"):
        probe(Classifier(net(10)), ["0"])


def test_sides_that_a_model_asserts_not_to_take_are_passed_over():
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net(64)

        def forward(self, x):
            assert x.shape[-1] == 64
            return self.body(x)

    assert probe(Classifier(Picky()), ["body.0"]) == ([torch.Size([5, 32, 32])], 7)
