"""Huber's lines against scikit-learn, and what effective robustness makes of an odd model."""

import numpy as np
import pytest
from sklearn.linear_model import HuberRegressor

from unshaken.core.errors import ParameterError
from unshaken.measure import effective_robustness, fit_line
from unshaken.measure.robustness.huber import huber_lines

X = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
Y = 0.9 * X + 0.02
ODD = np.array([*Y[:4], 0.9])


def objective(x, y, slope, intercept, scale):
    z = np.abs(y - intercept - slope * x) / scale
    return float((scale + scale * np.where(z <= 1.35, z**2, 2.7 * z - 1.35**2)).sum())


@pytest.mark.parametrize("seed", range(5))
def test_as_scikit_learn_or_nearer_to_the_least(seed):
    rng = np.random.default_rng(seed)
    x = rng.random((3, 30))
    y = 0.8 * x + 0.1 + 0.03 * rng.standard_normal((3, 30))
    y[:, :3] -= 0.4
    slope, intercept = huber_lines(x, y)
    for i in range(3):
        peer = HuberRegressor(epsilon=1.35, alpha=0, max_iter=10_000, tol=1e-10).fit(x[i][:, None], y[i])
        theirs = objective(x[i], y[i], peer.coef_[0], peer.intercept_, peer.scale_)
        assert objective(x[i], y[i], slope[i], intercept[i], peer.scale_) <= theirs + 1e-9
        assert (slope[i], intercept[i]) == (
            pytest.approx(peer.coef_[0], abs=1e-4),
            pytest.approx(peer.intercept_, abs=1e-4),
        )


def test_one_odd_model_of_five():
    """Four points on a line pull it to themselves; scikit-learn stops at .90391, least squares gives 1.76."""
    line = fit_line(X, ODD, transform="linear", fit="huber")
    assert (line.slope, line.intercept) == (pytest.approx(0.9, abs=1e-8), pytest.approx(0.02, abs=1e-8))
    assert fit_line(X, ODD, transform="linear").slope == pytest.approx(1.76)
    peer = HuberRegressor(epsilon=1.35, alpha=0, max_iter=10_000).fit(X[:, None], ODD)
    assert peer.coef_[0] == pytest.approx(0.9, abs=5e-3)
    assert 0.9 - line.predict(0.5) == pytest.approx(0.43)


def test_effective_robustness_of_the_odd_one_against_the_others():
    found = effective_robustness(0.5, 0.9, X[:4], Y[:4], transform="linear", fit="huber", resamples=50, level=0.5)
    assert found.rho.value == pytest.approx(0.43)
    assert found.rho.high - found.rho.low < 1e-6  # nearly every resample is the same line


def test_wrong_parameters():
    with pytest.raises(ParameterError, match=r"epsilon=0\.5 must be at least 1"):
        huber_lines(X[None], Y[None], epsilon=0.5)
    with pytest.raises(ParameterError, match="fit 'ridge' is not one of"):
        fit_line(X, Y, transform="linear", fit="ridge")
