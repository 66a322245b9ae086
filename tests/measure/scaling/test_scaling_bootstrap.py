"""Intervals of exponents: they cover, shrink to nothing where nothing varies, and see what is paired."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure import crossing_figure, exponent_difference, exponent_figure

SIZES = [1.0, 4.0, 16.0]


def curve(exponent, factor=1.0, images=200, seed=0):
    """Losses of images that differ by a factor of their own, and a little at every size."""
    draw = np.random.default_rng(seed)
    own, noise = draw.uniform(0.5, 1.5, images), draw.uniform(0.9, 1.1, (3, images))
    return factor * np.array(SIZES)[:, None] ** -exponent * own * noise


def test_images_that_only_differ_by_a_factor_leave_no_doubt():
    losses = np.array(SIZES)[:, None] ** -0.5 * np.linspace(0.5, 1.5, 30)
    found = exponent_figure(SIZES, losses, resamples=50)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    assert found.n == 30


def test_the_interval_covers_the_exponent_as_often_as_it_says():
    inside = 0
    for seed in range(40):
        figure = exponent_figure(SIZES, curve(0.3, seed=seed), level=0.9, resamples=200)
        inside += figure.low <= 0.3 <= figure.high
    assert inside >= 30  # of 40 at 90 %: fewer has a probability below 0.2 %


def test_a_floor_may_be_fitted_within():
    losses = curve(0.3) + 0.2
    sizes = [*SIZES, 64.0]
    losses = np.concatenate([losses, losses[-1:] * 0.9])
    found = exponent_figure(sizes, losses, floor=True, resamples=5)
    assert found.low <= found.value <= found.high


def test_paired_curves_differ_by_less_than_they_vary():
    one = curve(0.5)
    other = one * (np.array(SIZES) ** 0.2)[:, None]
    found = exponent_difference(SIZES, one, other, resamples=200)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))
    at = crossing_figure(SIZES, one, 0.7 * other, resamples=200)
    assert at.value == pytest.approx((1 / 0.7) ** (1 / 0.2))
    assert (at.low, at.high) == pytest.approx((at.value, at.value))


def test_nearly_parallel_curves_cross_anywhere():
    at = crossing_figure(SIZES, curve(0.3), curve(0.301, 0.9, seed=1), resamples=200)
    assert at.high - at.low > 1e3
    same = curve(0.3)
    assert crossing_figure(SIZES, same, same) is None


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (np.ones(3), r"of shape \(3,\)"),
        (np.ones((2, 5)), r"of shape \(2, 5\)"),
        (np.full((3, 5), math.nan), "finite and 0 or more"),
        (-np.ones((3, 5)), "finite and 0 or more"),
        (np.zeros((3, 5)), "losses must lie in"),
    ],
)
def test_bad_losses_are_refused(losses, message):
    with pytest.raises(ParameterError, match=message):
        exponent_figure(SIZES, losses)


def test_curves_of_other_images_are_not_paired():
    with pytest.raises(ParameterError, match="200 and 199"):
        exponent_difference(SIZES, curve(0.3), curve(0.3)[:, 1:])
