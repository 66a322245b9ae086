"""The small transformer and the small pooling CNN: sizes, token order, and back from their weights."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from unshaken.models import load_model
from unshaken.models.networks.architectures import build, build_for
from unshaken.models.networks.small_vit import SmallViT


@pytest.mark.parametrize(("arch", "count"), [("small-vit", 142_026), ("vit-9", 2_697_610), ("small-cnn", 52_110)])
def test_so_many_parameters(arch, count):
    assert sum(p.numel() for p in build(arch, classes=10, channels=3, side=32).parameters()) == count


def test_without_positions_the_order_of_tokens_does_not_matter():
    net = SmallViT(classes=4).eval()
    with torch.no_grad():
        net.position.zero_()
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    cells = images.unfold(2, 4, 4).unfold(3, 4, 4).flatten(2, 3)[:, :, order]
    moved = cells.view(3, 3, 8, 8, 4, 4).transpose(3, 4).reshape(3, 3, 32, 32)
    assert not torch.equal(moved, images)
    assert torch.allclose(net(moved), net(images), atol=1e-5)
    with torch.no_grad():
        net.position.normal_(generator=torch.Generator().manual_seed(2))
    assert not torch.allclose(net(moved), net(images), atol=1e-3)


@pytest.mark.parametrize(("classes", "channels", "side"), [(2, 1, 28), (3, 3, 32), (8, 3, 16)])
@pytest.mark.parametrize("arch", ["small-vit", "vit-9", "small-cnn"])
def test_classes_channels_and_side_follow_from_the_weights(tmp_path, arch, classes, channels, side):
    net = build(arch, classes=classes, channels=channels, side=side).eval()
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    found = load_model(f"weights:{tmp_path}/w.safetensors?arch={arch}").eval()
    images = torch.rand(2, channels, side, side)
    assert torch.equal(found(images), net(images))
    assert found.input_size == (None if arch == "small-cnn" else (side, side))


def test_weights_of_another_net_are_refused():
    from unshaken.core.errors import ModelError

    with pytest.raises(ModelError, match=r"not of the architecture 'small-vit': no key head.weight or embed.weight"):
        build_for("small-vit", {"head.weight": torch.zeros(3, 64)})
