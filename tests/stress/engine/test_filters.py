"""Grey and HSV values, and bands of frequencies, by hand."""

from __future__ import annotations

import colorsys

import pytest
import torch

from unshaken.stress.engine.filters import band_pass, half_radius, high_pass, least, low_pass, luma, value


def test_value_and_saturation_are_those_of_colorsys():
    images = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    v, low = value(images), least(images)
    assert v.shape == low.shape == (2, 1, 4, 5)
    for pixel, top, bottom in zip(images.permute(0, 2, 3, 1).reshape(-1, 3), v.flatten(), low.flatten(), strict=True):
        _, saturation, expected = colorsys.rgb_to_hsv(*pixel.tolist())
        assert float(top) == expected
        assert float((top - bottom) / top) == pytest.approx(saturation, abs=1e-6)


def test_grey_by_hand():
    image = torch.tensor([0.2, 0.5, 1.0]).view(1, 3, 1, 1)
    assert float(luma(image)) == pytest.approx(0.299 * 0.2 + 0.587 * 0.5 + 0.114, abs=1e-6)
    grey = torch.rand(1, 1, 2, 2)
    assert luma(grey) is grey


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
