from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unshaken.core.thin_input import ThinConv2d, is_thin, thin_inputs, tiling

CASES = [  # channels, kernel, stride, padding, side
    (1, 3, 1, 1, 28),
    (3, 3, 1, 1, 32),
    (3, 3, 2, 1, 32),
    (3, 7, 2, 3, 48),
    (1, 5, 1, 0, 28),
    (1, 3, 2, 0, 28),
    (3, 4, 2, 1, 32),
    (2, 3, 1, 2, 16),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_gradient_is_that_of_the_convolution(case):
    channels, kernel, stride, padding, side = case
    conv = nn.Conv2d(channels, 8, kernel, stride, padding).requires_grad_(False)
    assert is_thin(conv)
    thin = ThinConv2d(conv)
    images = torch.rand(3, channels, side, side, requires_grad=True)
    there, here = conv(images), thin(images)
    assert torch.equal(there, here)
    upstream = torch.randn_like(there)
    (wanted,) = torch.autograd.grad(there, images, upstream)
    (found,) = torch.autograd.grad(here, images, upstream)
    assert torch.allclose(found, wanted, atol=1e-5)


def test_non_square_images_and_sizes_that_do_not_divide():
    thin = ThinConv2d(nn.Conv2d(1, 4, 3, padding=1).requires_grad_(False))
    for height, width in ((8, 12), (9, 8), (7, 7)):
        images = torch.rand(2, 1, height, width, requires_grad=True)
        upstream = torch.randn(2, 4, height, width)
        (wanted,) = torch.autograd.grad(thin.conv(images), images, upstream)
        (found,) = torch.autograd.grad(thin(images), images, upstream)
        assert torch.allclose(found, wanted, atol=1e-5)


def test_it_follows_weights_that_change():
    conv = nn.Conv2d(1, 4, 3, padding=1).requires_grad_(False)
    thin = ThinConv2d(conv)
    images = torch.rand(2, 1, 8, 8, requires_grad=True)
    for _ in range(2):
        (found,) = torch.autograd.grad(thin(images).sum(), images)
        (wanted,) = torch.autograd.grad(conv(images).sum(), images)
        assert torch.allclose(found, wanted, atol=1e-5)
        conv.weight.mul_(-2)


def test_under_autocast_it_works_in_bfloat16():
    conv = nn.Conv2d(3, 8, 3, padding=1).requires_grad_(False)
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        here = ThinConv2d(conv)(images)
    assert here.dtype == torch.bfloat16
    (found,) = torch.autograd.grad(here.float().square().sum(), images)
    (wanted,) = torch.autograd.grad(conv(images).square().sum(), images)
    assert (found - wanted).norm() < 0.03 * wanted.norm()


def test_two_gradients_of_one_pass():
    thin = ThinConv2d(nn.Conv2d(1, 4, 3, padding=1).requires_grad_(False))
    images = torch.rand(2, 1, 8, 8, requires_grad=True)
    out = thin(images)
    (first,) = torch.autograd.grad(out[:, 0].sum(), images, retain_graph=True)
    (second,) = torch.autograd.grad(out[:, 1].sum(), images)
    assert not torch.allclose(first, second)


def test_taps_of_a_strided_kernel():
    along = tiling(2, 3, 2, 1)  # pixel 0 takes output 0 by the middle, pixel 1 outputs 0 and 1 by the ends
    assert (along.tile, along.first, along.hop) == (2, 0, 1)
    assert along.taps[0].tolist() == [[0, 1, 0], [0, 0, 0]]
    assert along.taps[1].tolist() == [[0, 0, 1], [1, 0, 0]]


def test_other_layers_are_left_alone():
    kept = [
        nn.Conv2d(16, 4, 3),
        nn.Conv2d(3, 6, 3, groups=3),
        nn.Conv2d(1, 4, 3, dilation=2),
        nn.Conv2d(1, 4, (3, 5)),
        nn.Conv2d(1, 4, 3, padding="same"),
        nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(3, 4, 3, stride=3),
        nn.Conv2d(2, 4, 3, stride=3),
        nn.Conv2d(1, 4, 1, stride=2),
        nn.Conv2d(1, 4, 3, stride=(1, 2)),
        nn.Conv2d(1, 4, 3, padding=(0, 1)),
        nn.Linear(3, 4),
    ]
    for layer in (nn.Conv2d(1, 4, 4, stride=4), nn.Conv2d(1, 4, 2, stride=2), nn.Conv2d(3, 4, 1)):
        assert is_thin(layer)
    assert not any(is_thin(layer) for layer in kept)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), *kept)
    thin_inputs(net)
    assert isinstance(net[0], ThinConv2d)
    assert [type(layer) for layer in net[1:]] == [type(layer) for layer in kept]


class Padded(nn.Conv2d):
    """A convolution that pads by itself, as those of EfficientNet do."""

    def forward(self, x):
        return super().forward(F.pad(x, (0, 1, 0, 1)))


def test_a_convolution_with_a_forward_of_its_own_is_left_alone():
    """In a gradient pass the tiles would compute another function than it does."""
    net = nn.Sequential(Padded(3, 8, 3, 2))
    thin_inputs(net)
    assert type(net[0]) is Padded
