"""What a patch may become, by hand."""

from __future__ import annotations

import pytest
import torch

from unshaken.attack.patch._bounds import SmallPatch, patch_ball
from unshaken.core import SampleRng

CLEAN = torch.full((1, 1, 1, 4), 0.5)
MASK = torch.tensor([True, True, True, False]).view(1, 1, 1, 4)


def row(*values):
    return torch.tensor(values).view(1, 1, 1, 4)


def test_without_a_bound_pixels_are_free():
    ball = patch_ball(CLEAN, MASK)
    assert ball.project(row(2.0, -1.0, 0.3, 0.9)).flatten().tolist() == pytest.approx([1, 0, 0.3, 0.5])
    assert not isinstance(ball, SmallPatch)


def test_in_linf_each_pixel_stays_near_its_own():
    ball = patch_ball(CLEAN, MASK, linf=0.1)
    assert ball.project(row(2.0, -1.0, 0.45, 0.9)).flatten().tolist() == pytest.approx([0.6, 0.4, 0.45, 0.5])


def test_in_l2_the_change_is_shortened():
    """(.3, .4) is of length .5: at most .25, so half of it; shorter ones stay, and other pixels never move."""
    ball = patch_ball(CLEAN, MASK, l2=0.25)
    assert isinstance(ball, SmallPatch)
    got = ball.project(row(0.8, 0.9, 0.5, 0.9))
    assert got.flatten().tolist() == pytest.approx([0.65, 0.7, 0.5, 0.5], abs=1e-5)
    near = row(0.6, 0.5, 0.45, 0.5)
    assert torch.equal(ball.project(near), near)
    for x, inside in ((near, True), (got, True), (row(0.8, 0.5, 0.5, 0.5), False), (row(0.6, 0.5, 0.5, 0.6), False)):
        assert ball.contains(x).tolist() == [inside]
    assert ball.contains(row(0.75, 0.5, 0.5, 0.5)).tolist() == [True]
    assert ball.contains(row(0.75001, 0.5, 0.5, 0.5)).tolist() == [False]


def test_a_random_patch_keeps_to_its_bound():
    n = 50
    ball = patch_ball(CLEAN.expand(n, 1, 1, 4), MASK.expand(n, 1, 1, 4), l2=0.25)
    x = ball.random_point(SampleRng.of(0, "p", [str(i) for i in range(n)]))
    assert bool(ball.contains(x).all())
    assert float(ball.distance(x).max()) > 0.2
