"""Bins counted, Parseval by hand, white noise, and models that look at one band only."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from unshaken.core.errors import ParameterError
from unshaken.measure.robustness.frequency import (
    band_pass,
    energy_inside,
    fourier_heat_map,
    fourier_pattern,
    frequency_radius,
    half_radius,
    high_pass,
    low_pass,
    pass_curve,
    radial_spectrum,
    white_share,
)


@pytest.mark.parametrize(
    ("side", "counts", "largest"),
    [
        (32, {4: 49, 8: 197, 12: 441, 16: 795}, 22.63),
        (224, {8: 197, 16: 797, 32: 3209, 64: 12_853, 112: 39_379}, 158.39),
    ],
)
def test_bins_inside_a_radius(side, counts, largest):
    radius = frequency_radius(side, side)
    assert {r: int((radius <= r).sum()) for r in counts} == counts
    assert float(radius.max()) == pytest.approx(largest, abs=0.005)
    assert radius.numel() == side * side


def test_the_radius_is_the_distance_in_a_shifted_grid():
    shifted = np.fft.fftshift(frequency_radius(6, 9).numpy())
    y, x = np.mgrid[:6, :9]
    assert np.allclose(shifted, np.hypot(y - 3, x - 4))
    assert half_radius(6, 9).shape == (6, 5)


def wave():
    """`cos(2 pi 2 n / 8)` in every row of an 8 x 8 image."""
    return torch.cos(2 * torch.pi * 2 * torch.arange(8.0) / 8).expand(1, 1, 8, 8)


def test_parseval_of_a_cosine():
    spectrum = torch.fft.fft2(wave())[0, 0]
    assert spectrum.abs().square().sum().item() / 64 == pytest.approx(32)
    assert wave().square().sum().item() == pytest.approx(32)
    big = [(r, c) for r in range(8) for c in range(8) if spectrum[r, c].abs() > 1e-4]
    assert big == [(0, 2), (0, 6)]
    assert spectrum[0, 2].abs().item() == pytest.approx(32, abs=1e-4)
    assert energy_inside(wave(), 1.9).item() == pytest.approx(0, abs=1e-9)
    assert energy_inside(wave(), 2).item() == pytest.approx(1)


def test_one_bin_keeps_half_of_its_energy_and_two_keep_all():
    bins = torch.zeros(8, 8, dtype=torch.complex64)
    bins[0, 2] = 64
    alone = torch.fft.ifft2(bins)
    assert alone.real.square().sum().item() == pytest.approx(32, abs=1e-4)
    assert alone.imag.square().sum().item() == pytest.approx(32, abs=1e-4)
    bins[0, 6] = 64
    both = torch.fft.ifft2(bins)
    assert both.real.square().sum().item() == pytest.approx(128, abs=1e-4)
    assert both.imag.abs().max() < 1e-6
    assert torch.allclose(both.real[0], torch.tensor([2.0, 0, -2, 0, 2, 0, -2, 0]), atol=1e-5)
    half = torch.fft.irfft2(bins[:, :5], s=(8, 8))
    assert torch.allclose(half, both.real, atol=1e-5)


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


def test_white_noise():
    assert [round(white_share(32, 32, r), 4) for r in (4, 8, 16)] == [0.0479, 0.1924, 0.7764]
    signs = torch.randint(0, 2, (400, 3, 32, 32), generator=torch.Generator().manual_seed(0)).float() * 2 - 1
    for r in (4, 8, 16):
        assert energy_inside(signs, r).mean().item() == pytest.approx(white_share(32, 32, r), abs=0.003)
    assert torch.allclose(radial_spectrum(signs).mean(0), torch.ones(24, dtype=torch.float64), atol=0.1)
    assert math.isnan(energy_inside(torch.zeros(1, 1, 8, 8), 2).item())


def test_the_radial_spectrum_of_a_cosine():
    spectrum = radial_spectrum(wave())[0]
    rings = int((frequency_radius(8, 8).round() == 2).sum())
    assert spectrum[2].item() == pytest.approx(2 * 32**2 / 64 / rings)
    assert spectrum.sum().item() == pytest.approx(spectrum[2].item())


def looks_at(pattern):
    """Class 1 where the images bear a pattern."""

    def predict(images):
        score = (images.double() * pattern).sum((1, 2, 3))
        return torch.stack([torch.full_like(score, 0.5), score], 1)

    return predict


def test_a_pass_curve_finds_the_band_that_counts():
    pattern = fourier_pattern(16, 16, 0, 5)
    labels = torch.arange(40) % 2
    images = 0.5 + labels[:, None, None, None] * pattern.expand(1, 1, 16, 16)
    low = pass_curve(looks_at(pattern), images, labels, (4, 5))
    high = pass_curve(looks_at(pattern), images, labels, (4, 5), keep="high")
    assert [low[r].value for r in (4, 5)] == [0.5, 1.0]
    assert [high[r].value for r in (4, 5)] == [1.0, 0.5]
    assert low[4].n == 40
    with pytest.raises(ParameterError, match="keep='middle'"):
        pass_curve(looks_at(pattern), images, labels, (4,), keep="middle")


@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 0), (-2, 3), (4, 4), (0, -4)])
def test_a_pattern_has_one_frequency_and_norm_one(row, column):
    pattern = fourier_pattern(8, 8, row, column)
    assert torch.linalg.vector_norm(pattern).item() == pytest.approx(1)
    power = torch.fft.fft2(pattern).abs().square()
    assert {(int(r), int(c)) for r, c in (power > 1e-9).nonzero()} == {
        (row % 8, column % 8),
        (-row % 8, -column % 8),
    }


def test_a_heat_map_is_hot_where_the_model_looks():
    pattern = fourier_pattern(8, 8, 1, 2)
    images, labels = torch.full((200, 1, 8, 8), 0.5), torch.zeros(200, dtype=torch.int64)
    heat = fourier_heat_map(looks_at(pattern), images, labels, norm=0.8)
    hot = {(int(r) - 4, int(c) - 4) for r, c in (heat > 0).nonzero()}
    assert {(1, 2), (-1, -2)} == hot
    assert heat.shape == (9, 9)
    assert heat[5, 6].item() == pytest.approx(0.5, abs=0.1)  # one of the two signs fools
    assert torch.equal(heat, fourier_heat_map(looks_at(pattern), images, labels, norm=0.8))
    ids = [str(i) for i in range(200)]
    part = fourier_heat_map(looks_at(pattern), images[:50], labels[:50], norm=0.8, ids=ids[:50], radius=2)
    assert part.shape == (5, 5)
    with pytest.raises(ParameterError, match="norm=0"):
        fourier_heat_map(looks_at(pattern), images, labels, norm=0)
    with pytest.raises(ParameterError, match="0 to 4"):
        fourier_heat_map(looks_at(pattern), images, labels, norm=1, radius=5)
