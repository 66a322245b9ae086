"""Numbers of the closed forms as published or worked out by hand, and a search that knows no formula."""

import math

import numpy as np
import pytest
from scipy import optimize, special

from unshaken.core.errors import ParameterError
from unshaken.measure.robustness.disparity_theory import DegenerateClassifierWarning, decompose, gaussian_optimum

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
