"""Numbers of the closed forms as published or worked out by hand, and a search that knows no formula."""

import math

import numpy as np
import pytest
from scipy import optimize, special, stats

from unshaken.core.errors import ParameterError
from unshaken.measure.robustness.disparity_theory import (
    DegenerateClassifierWarning,
    cauchy_limits,
    cauchy_stationary,
    decompose,
    gaussian_optimum,
    stable_cdf,
    stable_direction,
    stable_rule,
)

THETA = (1, 0.5, 0.25)
SIGMA = (4, 1, 0.25)


@pytest.mark.parametrize(
    ("ratio", "eps", "minority", "majority", "standard", "robust"),
    [
        (1, 0, 0.9332, 0.9332, 0.9332, 0.9332),
        (1, 0.75, 0.9332, 0.9332, 0.9332, 0.7734),
        (5, 0, 0.8324, 0.9791, 0.9547, 0.9547),
        (5, 0.5, 0.7566, 0.9894, 0.9506, 0.8999),
        (5, 0.75, 0.6653, 0.9950, 0.9400, 0.8671),
        (10, 0, 0.7681, 0.9883, 0.9683, 0.9683),
        (10, 0.5, 0.6363, 0.9960, 0.9633, 0.9348),
        (10, 0.75, 0.4860, 0.9988, 0.9522, 0.9186),
    ],
)
def test_identity_covariance(ratio, eps, minority, majority, standard, robust):
    found = gaussian_optimum([1.5], ratio=ratio, eps=eps).outcome
    given = (found.minority, found.majority, found.accuracy, found.robust_accuracy)
    assert given == pytest.approx((minority, majority, standard, robust), abs=6e-5)
    assert found.disparity == pytest.approx(majority - minority, abs=1.1e-4)
    assert not found.degenerate


@pytest.mark.parametrize(
    ("sigma", "norm", "shift", "weights", "balanced", "minority", "majority"),
    [
        (None, "linf", (0.2, 0.2, 0.2), (0.8, 0.3, 0.05), 0.8696, 0.5731, 0.9805),
        (SIGMA, "linf", (0.2, 0.2, 0.2), (0.2, 0.3, 0.2), 0.7836, 0.2137, 0.9909),
        (SIGMA, "l2", (0.0742, 0.1214, 0.1405), (0.2314, 0.3786, 0.4380), 0.7975, 0.3332, 0.9820),
    ],
)
def test_three_coordinates(sigma, norm, shift, weights, balanced, minority, majority):
    found = gaussian_optimum(THETA, sigma, ratio=5, eps=0.2, norm=norm)
    assert found.shift == pytest.approx(np.array(shift), abs=6e-5)
    assert found.weights == pytest.approx(np.array(weights), abs=6e-5)
    assert found.balanced == pytest.approx(balanced, abs=6e-5)
    assert (found.outcome.minority, found.outcome.majority) == pytest.approx((minority, majority), abs=6e-5)


def test_a_direction_that_is_kept_costs_nothing_when_balanced():
    found = gaussian_optimum(THETA, ratio=5, eps=0.2)
    assert found.weights / found.weights[0] == pytest.approx(np.array(THETA))
    assert found.balanced == pytest.approx(0.8740, abs=6e-5)
    assert (found.outcome.minority, found.outcome.majority) == pytest.approx((0.6159, 0.9771), abs=6e-5)
    plain = gaussian_optimum(THETA, ratio=5, eps=0).outcome
    assert (plain.minority, plain.majority) == pytest.approx((0.6712, 0.9677), abs=6e-5)
    parts = decompose(THETA, ratio=5, eps=0.2)
    assert parts.inherent == pytest.approx(0, abs=1e-12)
    assert parts.imbalance == pytest.approx((0.9771 - 0.6159) - (0.9677 - 0.6712), abs=2e-4)
    assert decompose(THETA, SIGMA, ratio=5, eps=0.2, norm="linf").inherent == pytest.approx(0.7836 - 0.8068, abs=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("full", [False, True])
def test_the_identity_and_a_search_without_the_formula(norm, full):
    cov = np.diag(SIGMA).astype(float)
    if full:
        cov[0, 1] = cov[1, 0] = 0.7
        cov[1, 2] = cov[2, 1] = -0.2
    found = gaussian_optimum(THETA, cov, ratio=3, eps=0.2, norm=norm)
    w, theta = found.weights, np.array(THETA)
    dual = np.abs(w).sum() if norm == "linf" else np.linalg.norm(w)
    assert w @ cov @ w == pytest.approx(found.delta**2, rel=1e-9)
    assert w @ theta - 0.2 * dual == pytest.approx(found.delta**2, rel=1e-9)

    def risk(v):  # of any w and t
        w, t = v[:3], v[3]
        width = math.sqrt(w @ cov @ w) + 1e-12
        loss = 0.2 * (np.abs(w).sum() if norm == "linf" else np.linalg.norm(w))
        return special.ndtr((t - w @ theta + loss) / width) + 3 * special.ndtr((-t - w @ theta + loss) / width)

    best = min(
        optimize.minimize(risk, s, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 4000}).fun
        for s in np.random.default_rng(0).normal(size=(3, 4))
    )
    own = 4 * (1 - found.outcome.robust_accuracy)
    assert own <= best + 1e-9
    assert own == pytest.approx(best, rel=2e-3)


def test_ratios():
    for eps in (0, 0.3, 0.9):
        even = gaussian_optimum(THETA, SIGMA, ratio=1, eps=eps, norm="linf").outcome
        assert (even.threshold, even.disparity) == (0, pytest.approx(0))
    assert gaussian_optimum(THETA, ratio=1e12, eps=0.2).outcome.minority < 1e-6
    one, other = (gaussian_optimum(THETA, SIGMA, ratio=r, eps=0.2).outcome for r in (4, 1 / 4))
    assert one.threshold == -other.threshold
    assert one.minority == pytest.approx(other.majority)
    gaps = [decompose([3], ratio=r, eps=1).imbalance for r in (1, 2, 5, 7, 10, 20)]
    assert gaps == pytest.approx([0, 0.00056, 0.00175, 0.00245, 0.00341, 0.00614], abs=6e-6)


def test_a_radius_that_is_too_large_is_said():
    with pytest.warns(DegenerateClassifierWarning, match=r"eps=1 reaches .*theta. = 1\)"):
        found = gaussian_optimum(THETA, ratio=5, eps=1, norm="linf")
    assert not found.weights.any()
    assert found.outcome.degenerate
    assert (found.outcome.minority, found.outcome.majority, found.outcome.accuracy) == (0, 1, pytest.approx(5 / 6))
    with pytest.warns(DegenerateClassifierWarning):
        assert gaussian_optimum(THETA, ratio=1, eps=2).outcome.disparity == 0
    with pytest.warns(DegenerateClassifierWarning):
        assert gaussian_optimum(THETA, ratio=0.5, eps=2).outcome.disparity == -1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ratio": 0}, "ratio must be a finite number above 0, not 0"),
        ({"eps": -1}, "eps must be a finite number of at least 0"),
        ({"eps": math.nan}, "eps must be"),
        ({"norm": "l1"}, "norm 'l1' is not one of"),
        ({"theta": [math.nan, 1, 1]}, "theta has 1 missing"),
        ({"theta": []}, "theta is empty"),
        ({"sigma": [1, 2]}, r"\[3, 3\] or its diagonal"),
        ({"sigma": [1, 1, 0]}, "positive definite"),
        ({"sigma": [[1, 2, 0], [0, 1, 0], [0, 0, 1]]}, "symmetric"),
    ],
)
def test_bad_input(change, words):
    given = {"theta": THETA, "sigma": None, "ratio": 2, "eps": 0.1, "norm": "l2"} | change
    with pytest.raises(ParameterError, match=words):
        gaussian_optimum(given.pop("theta"), given.pop("sigma"), **given)


CENTRES = np.array([1, 0.5, 0.25])


@pytest.mark.parametrize(
    ("alpha", "weights", "value", "tolerance"),
    [
        (1.5, (1, 0.25, 0.0625), 1.044835, 6e-7),
        (1.2, (1, 0.03125, 0.000977), 1.002628, 6e-7),
        (1, (1, 0, 0), 1, 1e-12),
        (2, (1, 0.5, 0.25), np.linalg.norm(CENTRES), 1e-9),
    ],
)
def test_the_direction_without_an_adversary(alpha, weights, value, tolerance):
    found = stable_direction(CENTRES, alpha=alpha)
    assert found.weights == pytest.approx(np.array(weights), abs=6e-7)
    assert found.margin == pytest.approx(value, abs=tolerance)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("alpha", [1, 1.3, 1.7, 2])
def test_no_direction_has_a_larger_margin(norm, alpha):
    theta = CENTRES * [1, -1, 1]
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


def test_bad_input_of_stable_noise():
    with pytest.warns(DegenerateClassifierWarning):
        assert stable_direction(CENTRES, alpha=1.5, eps=1, norm="linf").margin == 0
    assert stable_rule(1, ratio=2, eps=1).degenerate
    with pytest.raises(ParameterError, match=r"alpha=0.5 must lie in \[1, 2\]"):
        stable_direction(CENTRES, alpha=0.5)
    with pytest.raises(ParameterError, match="at least 1"):
        stable_rule(1, ratio=0.5)
    with pytest.raises(ParameterError, match="m=0 must be"):
        cauchy_limits(0)
