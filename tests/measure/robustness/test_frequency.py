"""Bins counted, Parseval by hand, and white noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from unshaken.measure.robustness.frequency import energy_inside, frequency_radius, radial_spectrum, white_share


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
    assert radius.size == side * side


def test_the_radius_is_the_distance_in_a_shifted_grid():
    shifted = np.fft.fftshift(frequency_radius(6, 9))
    y, x = np.mgrid[:6, :9]
    assert np.allclose(shifted, np.hypot(y - 3, x - 4))


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


def test_white_noise():
    assert [round(white_share(32, 32, r), 4) for r in (4, 8, 16)] == [0.0479, 0.1924, 0.7764]
    signs = torch.randint(0, 2, (400, 3, 32, 32), generator=torch.Generator().manual_seed(0)).float() * 2 - 1
    for r in (4, 8, 16):
        assert energy_inside(signs, r).mean().item() == pytest.approx(white_share(32, 32, r), abs=0.003)
    assert radial_spectrum(signs).mean(0) == pytest.approx(np.ones(24), abs=0.1)
    assert math.isnan(energy_inside(torch.zeros(1, 1, 8, 8), 2).item())


def test_the_radial_spectrum_of_a_cosine():
    spectrum = radial_spectrum(wave())[0]
    rings = int((frequency_radius(8, 8).round() == 2).sum())
    assert spectrum[2].item() == pytest.approx(2 * 32**2 / 64 / rings)
    assert spectrum.sum().item() == pytest.approx(spectrum[2].item())
