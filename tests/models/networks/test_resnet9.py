"""The residual network of nine layers: its size, its layers by hand, and back from its weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from unshaken.models import load_model
from unshaken.models.networks.architectures import build


def test_nine_layers_have_weights():
    net = build("resnet-9", classes=10, channels=3, side=32)
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net.modules()) == 9
    assert sum(p.numel() for p in net.parameters()) == 6_573_130


def test_the_logits_by_hand():
    net = build("resnet-9", classes=4, channels=3, side=16).double().eval()
    weights = net.state_dict()
    generator = torch.Generator().manual_seed(0)
    for key in weights:
        if key.endswith(("running_mean", "running_var")):
            weights[key].copy_(torch.rand(weights[key].shape, generator=generator) + 0.5)

    def normed(x, key):
        return F.batch_norm(x, *(weights[f"{key}.{n}"] for n in ("running_mean", "running_var", "weight", "bias")))

    def conv(x, key):
        return F.conv2d(x, weights[f"{key}.weight"], padding=1)

    def residual(x, key):
        inner = normed(conv(x, f"{key}.body.0.0"), f"{key}.body.0.1").relu()
        return x + normed(conv(inner, f"{key}.body.1.0"), f"{key}.body.1.1").relu()

    def pooled(x, key):
        return normed(F.max_pool2d(conv(x, f"{key}.0"), 2), f"{key}.2").relu()

    images = torch.rand(2, 3, 16, 16, generator=generator, dtype=torch.float64)
    x = normed(conv(images, "body.0.0"), "body.0.1").relu()
    x = residual(pooled(x, "body.1"), "body.2")
    x = residual(pooled(pooled(x, "body.3"), "body.4"), "body.5")
    wanted = x.flatten(2).max(2).values / 8 @ weights["head.weight"].T + weights["head.bias"]
    assert torch.allclose(net(images), wanted, atol=1e-9)


@pytest.mark.parametrize(("classes", "channels", "side"), [(2, 1, 28), (3, 3, 8)])
def test_classes_and_channels_follow_from_the_weights(tmp_path, classes, channels, side):
    net = build("resnet-9", classes=classes, channels=channels, side=side).eval()
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    found = load_model(f"weights:{tmp_path}/w.safetensors?arch=resnet-9").eval()
    images = torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found(images), net(images))
    assert found.input_size is None
