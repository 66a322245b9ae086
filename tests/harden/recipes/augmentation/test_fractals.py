"""Fractals: a known attractor, the rule of the maps, spectra of the textures, and what a seed decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unshaken.harden.recipes.augmentation import _fractals
from unshaken.harden.recipes.augmentation._fractals import drawn_pictures, fractal_layers, iterated_functions, textures


def test_the_chaos_game_draws_sierpinskis_triangle(monkeypatch):
    halves = np.array([[[0.5, 0, x], [0, 0.5, y]] for x, y in ((0, 0), (0.5, 0), (0, 0.5))])
    monkeypatch.setattr(_fractals, "iterated_functions", lambda rng, count, maps: halves[None].repeat(count, 0))
    rng = np.random.default_rng(0)
    cover = fractal_layers(rng, 1, 3, 64, 4000)[0, 3]
    rows, columns = (cover > 0).nonzero(as_tuple=True)
    x, y = ((t.double() + 0.5) / 64 * 1.12 - 0.06 for t in (columns, rows))  # the frame around the attractor, roughly
    assert (x + y).max() < 1.1  # nothing above the long side
    hole = (x > 0.32) & (y > 0.32) & (x + y < 0.9) & (x < 0.45) & (y < 0.45)
    assert not hole.any()  # the middle triangle is empty
    assert 0.1 < (cover > 0).float().mean() < 0.35  # 3^n of 4^n cells at n = 5: 0.24


@pytest.mark.parametrize("maps", [2, 4, 6])
def test_maps_contract_and_their_sum_is_in_range(maps):
    system = iterated_functions(np.random.default_rng(0), 200, maps)
    values = np.linalg.svd(system[..., :2], compute_uv=False)
    assert values.max() < 0.96
    sums = values @ (1.0, 2.0)
    assert (sums.sum(1) > (5 + maps) / 2 - 0.3).all()
    assert (sums.sum(1) < (6 + maps) / 2 + 1e-6).all()


def test_pictures_have_structure_and_differ():
    found = drawn_pictures(24, 36, 0)
    assert found.shape == (24, 3, 36, 36)
    assert found.dtype == torch.uint8
    planes = found.float()
    assert planes.flatten(1).std(1).min() > 8
    assert len({tuple(p.flatten().tolist()) for p in found}) == 24
    rough = (planes[..., 1:] - planes[..., :-1]).abs().mean((1, 2, 3))
    shaped = torch.arange(24) % 4 != 3
    assert rough[shaped].mean() > 1.3 * rough[~shaped].mean()  # edges that textures have not


def test_the_seed_decides():
    again = drawn_pictures.__wrapped__(8, 20, 5)
    assert torch.equal(drawn_pictures(8, 20, 5), again)
    assert not torch.equal(drawn_pictures(8, 20, 6), again)


def test_textures_reach_from_black_to_full():
    found = textures(np.random.default_rng(0), 10, 33)
    assert torch.equal(found.amin((1, 2, 3)), torch.zeros(10))
    assert torch.equal(found.amax((1, 2, 3)), torch.ones(10))


def test_fourier_textures_fall_with_frequency():
    fields = np.concatenate([_fractals._fourier(np.random.default_rng(i), 64) for i in range(20)])
    power = np.abs(np.fft.fft2(fields)).mean(0)
    radius = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64))
    near, far = power[(radius > 0.03) & (radius < 0.06)].mean(), power[radius > 0.3].mean()
    assert near > 8**0.8 * far  # about 8 times the frequency at an exponent of at least 0.8


@pytest.mark.parametrize("size", [(1, 8), (3, 9), (5, 40)])
def test_any_count_and_side(size):
    count, side = size
    assert drawn_pictures(count, side, 0).shape == (count, 3, side, side)
