"""The U-Net: shapes at any size, how far a pixel is seen, and its weights read back."""

from __future__ import annotations

import pytest
import torch

from unshaken.models.networks.architectures import SMALL, build, build_for
from unshaken.models.networks.small import UNet


@pytest.mark.parametrize(("height", "width"), [(48, 48), (33, 33), (72, 40), (4, 5)])
def test_a_class_for_each_pixel_at_any_size(height, width):
    net = build("unet", classes=5, channels=1, side=48).eval()
    assert net(torch.rand(2, 1, height, width)).shape == (2, 5, height, width)


def test_its_number_of_parameters():
    assert sum(p.numel() for p in UNet(classes=5, channels=1).parameters()) == 29_813


def test_the_finest_scale_and_the_coarsest_both_reach_a_pixel():
    net = UNet(classes=2, channels=1).eval()
    image = torch.rand(1, 1, 32, 32, requires_grad=True)
    net(image)[0, 0, 16, 16].backward()
    seen = image.grad[0, 0] != 0
    assert seen[16, 16]
    assert seen[16].sum() > 5 * 2 + 1  # wider than the convolutions of the finest scale


def test_weights_tell_what_they_are_of():
    net = SMALL["unet"](4, 3, 48)
    found, view = build_for("unet", net.state_dict())
    found.load_state_dict(net.state_dict())
    assert view is None
    assert found.head.out_channels == 4
