"""Bands of images add up, do not overlap, and take a cosine apart at its own frequency."""

from __future__ import annotations

import torch

from unshaken.stress.engine.frequency import band_pass, half_radius, high_pass, low_pass


def test_the_radius_is_that_of_half_the_bins():
    assert half_radius(6, 9).shape == (6, 5)
    assert half_radius(4, 4)[1].tolist() == [1, 2**0.5, 5**0.5]


def wave():
    """`cos(2 pi 2 n / 8)` in every row of an 8 x 8 image."""
    return torch.cos(2 * torch.pi * 2 * torch.arange(8.0) / 8).expand(1, 1, 8, 8)


def test_bands_add_up_and_do_not_overlap():
    x = torch.rand(3, 2, 12, 9)
    low, middle, high = band_pass(x, -1, 2), band_pass(x, 2, 4), band_pass(x, 4, 99)
    assert torch.allclose(low + middle + high, x, atol=1e-6)
    assert band_pass(middle, -1, 2).abs().max() < 1e-6
    assert torch.allclose(low_pass(x, 2), low)
    assert torch.allclose(low_pass(x, 0), x.mean((2, 3), keepdim=True).expand_as(x), atol=1e-6)
    assert torch.allclose(high_pass(x, 2).mean((2, 3)), x.mean((2, 3)), atol=1e-6)
    assert torch.allclose(high_pass(x, 2) + low - x.mean((2, 3), keepdim=True), x, atol=1e-6)
    assert torch.allclose(high_pass(wave(), 1.5), wave(), atol=1e-6)
    assert torch.allclose(high_pass(wave(), 2), torch.zeros(1, 1, 8, 8), atol=1e-6)
