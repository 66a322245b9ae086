"""Grid, curriculum and the target's decay at the published numbers."""

from __future__ import annotations

import pytest
import torch

from unshaken.generate.edm import karras_grid
from unshaken.harden.recipes.pretraining._noise_levels import grid_points, nearest_level, stage_length, target_decay


def test_the_grid_of_81():
    grid = karras_grid(81)
    assert grid.shape == (81,)
    assert grid[[0, 1, 79, 80]].tolist() == pytest.approx([80, 74.6976, 0.002709, 0.002], abs=1e-4)
    assert grid[79].item() == pytest.approx(0.002709, abs=1e-6)
    assert (grid.diff() < 0).all()


@pytest.mark.parametrize(
    ("points", "level", "index", "value"),
    [
        (81, 0.5, 53, 0.49271),
        (81, 1.0, 48, 0.96542),
        (81, 2.0, 42, 2.00365),
        (41, 0.5, 26, 0.56663),
        (41, 1.0, 24, 0.96542),
        (41, 2.0, 21, 2.00365),
        (21, 0.5, 13, 0.56663),
        (21, 1.0, 12, 0.96542),
        (21, 2.0, 11, 1.58398),
    ],
)
def test_the_nearest_point(points, level, index, value):
    found = nearest_level(level, points)
    assert found[0] == index
    assert found[1] == pytest.approx(value, abs=1e-5)


def test_grids_are_nested():
    assert torch.allclose(karras_grid(41), karras_grid(81)[::2], rtol=1e-12)
    assert torch.allclose(karras_grid(21), karras_grid(81)[::4], rtol=1e-12)


def test_the_curriculum():
    steps = 600_000
    assert stage_length(steps) == 258_406
    found = [grid_points(k, steps) for k in (0, 1, 258_400, 258_406, 258_407, 300_000, 600_000)]
    assert found == [21, 41, 41, 41, 81, 81, 81]


def test_the_decay_of_the_target():
    found = [target_decay(k, 600_000) for k in (0, 1000, 60_000, 300_000, 600_000)]
    assert found == pytest.approx([0.99, 0.990083, 0.994592, 0.999769, 0.999899], abs=1e-6)
    assert target_decay(300_000, 600_000, sharpness=15) > found[3]
    assert target_decay(5, 10, low=0.99, high=0.99) == 0.99
