"""Caustics at single pixels, refraction by Snell's law in three dimensions, and a flat surface that changes nothing."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from unshaken.stress.c_bar.caustic_refraction import caustics, refract


def bright(y, x, time, size):
    py, px = ((p / size % 1) * 6.28318530718 - 250 for p in (y, x))
    iy, ix, total = py, px, 1.0
    for n in range(1, 6):
        t = time * (1 - 3.5 / n)
        iy, ix = py + math.cos(t - iy) + math.sin(t + ix), px + math.sin(t - ix) + math.cos(t + iy)
        total += 1 / math.hypot(py / (math.sin(iy + t) / 0.005), px / (math.cos(ix + t) / 0.005))
    return min(1.0, abs(1.17 - (total / 5) ** 1.4) ** 8)


def test_caustics_are_the_formula_blurred(peer):
    by_hand = np.array([[bright(y, x, 1.3, 15.0) for x in range(17)] for y in range(12)])
    assert caustics(peer.double(), 1.3, 15.0).numpy() == pytest.approx(gaussian_filter(by_hand, 1), abs=1e-9)


def test_a_flat_surface_changes_nothing(peer):
    image = peer.double()
    inside = refract(image, torch.full((12, 17), 0.7, dtype=torch.float64), 8.0, 1.0)[:, 1:-1, 1:-1]
    assert torch.allclose(inside, image[:, 1:-1, 1:-1])


def test_places_move_by_snells_law(peer):
    image = peer.double(9, 9, 1)
    surface = torch.zeros(9, 9, dtype=torch.float64)
    surface[5, 4], surface[4, 5] = 0.6, -0.3
    normal = np.array([0.6, -0.3, 1.0]) / np.linalg.norm([0.6, -0.3, 1.0])
    # the ray (0, 0, 1) inside water of density 4: the part along the surface is a quarter, the length stays 1
    along = (np.array([0, 0, 1.0]) - normal * normal[2]) / 4
    ray = along + normal * math.sqrt(1 - along @ along)
    row, column = 4 + round(ray[0] * 3.0, 3), 4 + round(ray[1] * 3.0, 3)
    seen = peer.pixel_by_pixel(peer.to_rows(image), lambda y, x: (row, column))[4, 4, 0]
    found = refract(image, surface, 3.0, 0.1)[0, 4, 4]
    assert float(found) == pytest.approx(min(1.0, seen + 0.1 * (0.6 + 0.3)), abs=1e-9)
