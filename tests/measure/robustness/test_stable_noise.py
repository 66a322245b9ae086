"""Closed forms under heavy tails against published numbers, and against searches that know no formula."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from unshaken.core.errors import ParameterError
from unshaken.measure.robustness.disparity_theory import DegenerateClassifierWarning
from unshaken.measure.robustness.stable_noise import (
    cauchy_limits,
    cauchy_stationary,
    stable_cdf,
    stable_direction,
    stable_rule,
)

THETA = np.array([1, 0.5, 0.25])


@pytest.mark.parametrize(
    ("alpha", "weights", "value", "tolerance"),
    [
        (1.5, (1, 0.25, 0.0625), 1.044835, 6e-7),
        (1.2, (1, 0.03125, 0.000977), 1.002628, 6e-7),
        (1, (1, 0, 0), 1, 1e-12),
        (2, (1, 0.5, 0.25), np.linalg.norm(THETA), 1e-9),
    ],
)
def test_the_direction_without_an_adversary(alpha, weights, value, tolerance):
    found = stable_direction(THETA, alpha=alpha)
    assert found.weights == pytest.approx(np.array(weights), abs=6e-7)
    assert found.margin == pytest.approx(value, abs=tolerance)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("alpha", [1, 1.3, 1.7, 2])
def test_no_direction_has_a_larger_margin(norm, alpha):
    theta = THETA * [1, -1, 1]
    found = stable_direction(theta, alpha=alpha, eps=0.2, norm=norm)

    def margin(w):
        dual = np.abs(w).sum() if norm == "linf" else np.linalg.norm(w)
        return (w @ theta - 0.2 * dual) / (np.abs(w) ** alpha).sum() ** (1 / alpha)

    assert margin(found.weights) == pytest.approx(found.margin)
    tried = np.random.default_rng(0).normal(size=(20_000, 3)) * [1, 0.5, 0.3] + found.weights
    assert max(margin(w) for w in tried) <= found.margin + 1e-9
    climbed = optimize.minimize(lambda w: -margin(w), found.weights + 0.05, method="Nelder-Mead")
    assert -climbed.fun == pytest.approx(found.margin, abs=1e-3)


def test_alpha_two_is_the_gaussian_of_variance_two():
    assert stable_cdf(0.7, 2) == pytest.approx(stats.norm.cdf(0.7, scale=math.sqrt(2)))
    assert stable_cdf(0.7, 1.999) == pytest.approx(stable_cdf(0.7, 2), abs=1e-3)
    assert stable_cdf(0.7, 1.001) == pytest.approx(stable_cdf(0.7, 1), abs=1e-3)
    assert stable_rule(3, ratio=5, alpha=2).threshold == pytest.approx(math.log(5) / 3)


@pytest.mark.parametrize(
    ("ratio", "threshold", "minority", "majority"),
    [(2, 0.5739, 0.8756, 0.9132), (5, 1.2984, 0.8309, 0.9272), (10, 1.8107, 0.7774, 0.9348)],
)
def test_cauchy_thresholds(ratio, threshold, minority, majority):
    found = stable_rule(3, ratio=ratio)
    assert (found.threshold, found.minority, found.majority) == pytest.approx((threshold, minority, majority), abs=6e-5)


@pytest.mark.parametrize(
    ("m", "stationary", "given_up"),
    [(1, 5.8284, 3.5025), (1.5, 10.908, 5.351), (2, 17.944, 7.418), (3, 37.974, 11.943), (5, 101.99, 21.807)],
)
def test_cauchy_limits(m, stationary, given_up):
    assert cauchy_limits(m) == pytest.approx((stationary, given_up), rel=1e-4)
    assert cauchy_stationary(m, stationary * 1.001) is None
    assert stable_rule(m, ratio=given_up * 1.001).degenerate
    assert not stable_rule(m, ratio=given_up * 0.999).degenerate


def test_cauchy_disparity_shrinks_and_then_jumps():
    gaps = [stable_rule(3, ratio=r, eps=1).disparity - stable_rule(3, ratio=r).disparity for r in (1, 2, 5, 7, 10, 20)]
    assert gaps == pytest.approx([0, -0.0096, -0.0268, -0.0351, 0.8427, 0], abs=6e-5)


def test_between_cauchy_and_gauss_the_threshold_is_a_minimum():
    found = stable_rule(3, ratio=3, alpha=1.5, eps=0.5)
    noise = stats.levy_stable(1.5, 0)

    def risk(t):
        return noise.cdf(t - 2.5) + 3 * noise.cdf(-t - 2.5)

    assert risk(found.threshold) <= min(risk(t) for t in np.linspace(0, 4, 41)) + 1e-12
    assert found.robust_minority == pytest.approx(noise.cdf(2.5 - found.threshold))
    assert stable_rule(1, ratio=50, alpha=1.5).degenerate
    assert stable_rule(1, ratio=50, alpha=1.5).disparity == 1


def test_bad_input():
    with pytest.warns(DegenerateClassifierWarning):
        assert stable_direction(THETA, alpha=1.5, eps=1, norm="linf").margin == 0
    assert stable_rule(1, ratio=2, eps=1).degenerate
    with pytest.raises(ParameterError, match=r"alpha=0.5 must lie in \[1, 2\]"):
        stable_direction(THETA, alpha=0.5)
    with pytest.raises(ParameterError, match="at least 1"):
        stable_rule(1, ratio=0.5)
    with pytest.raises(ParameterError, match="m=0 must be"):
        cauchy_limits(0)
