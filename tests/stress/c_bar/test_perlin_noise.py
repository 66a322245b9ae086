"""Gradient noise: zero on the lattice, a slope beside it, one cell by hand, and the sum of its octaves."""

import pytest
import torch

from unshaken.stress.c_bar.perlin_noise import gradient_noise, turbulence

ORDER = torch.randperm(256, generator=torch.Generator().manual_seed(0))
ANGLES = torch.rand(256, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 7
GRADIENTS = torch.stack([ANGLES.cos(), ANGLES.sin()], 1)


def at(*places):
    return torch.tensor(places, dtype=torch.float64)


def test_zero_on_the_lattice_and_a_slope_of_1_5_beside_it():
    whole = torch.arange(6, dtype=torch.float64)
    assert float(gradient_noise(whole[:, None], whole[None], ORDER, GRADIENTS).abs().max()) == 0
    beside = gradient_noise(at(3)[:, None] + 1e-5, at(2)[None], ORDER, GRADIENTS)
    chosen = GRADIENTS[ORDER[(ORDER[3] + 2) % 256]]
    assert float(beside) / 1e-5 == pytest.approx(1.5 * float(chosen[0]), abs=1e-3)


def test_the_middle_of_a_cell_is_the_mean_of_its_corners():
    found = gradient_noise(at(4.5)[:, None], at(7.5)[None], ORDER, GRADIENTS)
    corners = [
        (down, right, GRADIENTS[ORDER[(ORDER[4 + down] + 7 + right) % 256]]) for down in (0, 1) for right in (0, 1)
    ]
    mean = sum((0.5 - down) * float(g[0]) + (0.5 - right) * float(g[1]) for down, right, g in corners) / 4
    assert float(found) == pytest.approx(1.5 * mean)


def test_turbulence_adds_octaves():
    y, x = at(0.3, 1.7)[:, None], at(0.2, 2.9, 5.5)[None]
    by_hand = sum(gradient_noise(y * f, x * f, ORDER, GRADIENTS).abs() / f for f in (1, 2, 4))
    assert torch.allclose(turbulence(y, x, ORDER, GRADIENTS, 4), by_hand)
    assert torch.allclose(turbulence(y, x, ORDER, GRADIENTS, 7), by_hand)
