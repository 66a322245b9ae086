"""Overlay: exact where it can be, the mask's formula, turns, and gradients."""

from __future__ import annotations

import math

import pytest
import torch

from unshaken.attack.patch._overlay import Overlay


def at(row, column, side, angle=0.0, round=False, n=1):
    return Overlay(*(torch.full((n,), float(v)) for v in (row, column, side, angle)), round)


@pytest.mark.parametrize(("row", "column", "side"), [(0, 0, 4), (3, 5, 4), (7, 2, 5), (0, 0, 12)])
def test_an_upright_square_lies_pixel_on_pixel(make, row, column, side):
    images, patch = make.images(2, 3, 12, 16), make.images(3, side, side, seed=1)
    got, mask = at(row + side / 2, column + side / 2, side, n=2).paste(images, patch)
    expected = images.clone()
    expected[:, :, row : row + side, column : column + side] = patch
    assert torch.allclose(got, expected, atol=1e-6)
    outside = (mask == 0).expand_as(images)
    assert torch.equal(got[outside], images[outside])
    assert mask.sum((1, 2, 3)).tolist() == [side**2] * 2
    assert set(mask.unique().tolist()) == {0.0, 1.0} or side == 12


def test_the_disc_follows_its_formula():
    overlay = at(16, 16, 32, round=True)
    mask = overlay.mask(overlay.coordinates(32, 32))[0, 0]
    for y in range(0, 32, 5):
        for x in range(0, 32, 3):
            u, v = (x + 0.5 - 16) / 16, (y + 0.5 - 16) / 16
            assert float(mask[y, x]) == pytest.approx(max(0.0, 1 - (u * u + v * v) ** 40), abs=1e-5)
    assert float(mask.mean()) == pytest.approx(math.pi / 4, abs=0.02)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns(make, turns):
    images, patch = torch.zeros(1, 1, 9, 9), make.images(1, 5, 5)
    got, _ = at(4.5, 4.5, 5 - 1e-4, math.pi / 2 * turns).paste(images, patch)
    assert torch.allclose(got[0, :, 2:7, 2:7], patch.rot90(-turns, (1, 2)), atol=1e-3)


def test_half_the_side_shows_means_of_neighbours(make):
    patch = make.images(1, 8, 8)
    got, _ = at(2, 2, 4).paste(torch.zeros(1, 1, 4, 4), patch)
    assert torch.allclose(got[0], torch.nn.functional.avg_pool2d(patch[None], 2)[0], atol=1e-6)


def test_the_gradient_comes_back_through_the_mask(make):
    images, patch = make.images(3, 1, 8, 8), make.images(1, 4, 4, seed=2).requires_grad_(True)
    overlay = Overlay(
        torch.tensor([2.0, 4, 5]), torch.tensor([3.0, 4, 6]), torch.full((3,), 4.0), torch.zeros(3), False
    )
    stuck, mask = overlay.paste(images, patch)
    (g,) = torch.autograd.grad(stuck.sum(), patch)
    assert torch.allclose(g, torch.full((1, 4, 4), 3.0), atol=1e-5)
    assert float(mask.sum()) == 48
