"""Layers of networks in order, and their classifier."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unshaken.core.errors import ModelError
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
