import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.linear_model import HuberRegressor

from unshaken.core.errors import ParameterError
from unshaken.measure import effective_robustness, fit_line
from unshaken.measure.robustness.effective_robustness import huber_lines

CLEAN, SHIFTED = [0.5, 0.6, 0.7, 0.8], [0.3, 0.4, 0.52, 0.66]


def test_the_known_logit_fit():
    e = effective_robustness(0.75, 0.65, CLEAN, SHIFTED)
    assert e.line.slope == pytest.approx(1.090377, abs=5e-7)
    assert e.line.intercept == pytest.approx(-0.846749, abs=5e-7)
    assert e.predicted == pytest.approx(0.586897, abs=5e-7)
    assert e.rho.value == pytest.approx(0.063103, abs=5e-7)
    assert (e.line.models, e.rho.n) == (4, 4)
    assert e.rho.interval == "bootstrap 95% (2000)"


@pytest.mark.parametrize("transform", ["logit", "probit", "linear"])
def test_the_fit_is_numpy_s_least_squares(transform):
    g = {"logit": special.logit, "probit": stats.norm.ppf, "linear": np.asarray}[transform]
    line = fit_line(CLEAN, SHIFTED, transform=transform)
    assert (line.slope, line.intercept) == pytest.approx(np.polyfit(g(CLEAN), g(SHIFTED), 1))


@pytest.mark.parametrize("transform", ["logit", "probit", "linear"])
def test_models_on_a_line_predict_without_uncertainty(transform):
    back = {"logit": special.expit, "probit": stats.norm.cdf, "linear": np.asarray}[transform]
    x = np.array([0.2, 0.4, 0.5, 0.7])
    e = effective_robustness(0.3, 0.5, back(x), back(0.9 * x + 0.02), transform=transform)
    expected = 0.5 - {"linear": 0.29}.get(transform, e.predicted)
    assert e.rho.value == pytest.approx(expected)
    assert e.rho.high - e.rho.low == pytest.approx(0, abs=1e-12)
    assert (e.line.slope, e.line.intercept) == pytest.approx((0.9, 0.02))


def test_the_interval_has_the_width_of_the_line_s_standard_error():
    rng = np.random.default_rng(0)
    x = rng.uniform(0.4, 0.8, 200)
    noise = rng.normal(0, 0.03, 200)
    e = effective_robustness(0.6, 0.5, x, 0.8 * x - 0.1 + noise, transform="linear")
    at = (0.6 - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
    assert e.rho.high - e.rho.low == pytest.approx(2 * 1.96 * 0.03 * np.sqrt(1 / 200 + at), rel=0.2)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.floats(0.05, 0.95), st.floats(0.05, 0.95)), min_size=3, max_size=10, unique_by=lambda p: p[0])
)
def test_the_interval_holds_the_value(points):
    e = effective_robustness(0.5, 0.4, *zip(*points, strict=True), resamples=50)
    assert e.rho.low <= e.rho.value <= e.rho.high
    assert e.rho.value == pytest.approx(0.4 - e.line.predict(0.5))


def test_two_models_are_enough_for_a_line():
    # through (.4, .3) and (.6, .5): slope 1, intercept -.1; a draw of one model twice is drawn again
    e = effective_robustness(0.5, 0.45, [0.4, 0.6], [0.3, 0.5], transform="linear")
    assert (e.line.slope, e.line.intercept, e.rho.value) == pytest.approx((1, -0.1, 0.05))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_line([0.5], [0.4]), "at least two different"),
        (lambda: fit_line([0.5, 0.5], [0.4, 0.3]), "at least two different"),
        (lambda: fit_line([0.5, 0.6], [0.4]), "lengths"),
        (lambda: fit_line([50, 60], [30, 40]), r"must lie in \[0, 1\]"),
        (lambda: fit_line([0.5, 1.0], [0.4, 0.9]), "an accuracy of 0 or 1 has no logit"),
        (lambda: fit_line([0.5, 0.6], [0.0, 0.9], transform="probit"), "has no probit"),
        (lambda: fit_line([0.5, np.nan], [0.4, 0.9]), "missing"),
        (lambda: fit_line(CLEAN, SHIFTED, transform="log"), "transform 'log'"),
        (lambda: fit_line(CLEAN, SHIFTED).predict(1.0), "has no logit"),
        (lambda: effective_robustness(75, 0.65, CLEAN, SHIFTED), r"must lie in \[0, 1\]"),
        (lambda: effective_robustness(0.75, np.nan, CLEAN, SHIFTED), "missing"),
        (lambda: effective_robustness(0.75, 0.65, CLEAN, SHIFTED, resamples=0), "resamples"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ParameterError, match=message):
        call()


def test_the_fits_of_generated_datasets():
    """Logit and linear fits, and effective robustness, as the specification of Bansal & Grover 2023 derives them."""
    clean, shifted = [0.60, 0.65, 0.70, 0.75], [0.20, 0.24, 0.28, 0.33]
    line = fit_line(clean, shifted)
    assert (line.slope, line.intercept) == (pytest.approx(0.970634, abs=5e-7), pytest.approx(-1.768702, abs=5e-7))
    found = effective_robustness(0.74, 0.34, clean, shifted, resamples=10)
    assert (found.predicted, found.rho.value) == (pytest.approx(0.320070, abs=5e-7), pytest.approx(0.019930, abs=5e-7))
    assert effective_robustness(0.70, 0.28, clean, shifted, resamples=10).rho.value == pytest.approx(0.000368, abs=5e-7)
    linear = effective_robustness(0.74, 0.34, clean, shifted, transform="linear", resamples=10)
    assert (linear.line.slope, linear.line.intercept) == (pytest.approx(0.86), pytest.approx(-0.318))
    assert (linear.predicted, linear.rho.value) == (pytest.approx(0.3184), pytest.approx(0.0216))
    twice = fit_line([*clean, 0.65], [*shifted, 0.24])
    assert (twice.slope, twice.intercept) == (pytest.approx(0.965259, abs=5e-7), pytest.approx(-1.761811, abs=5e-7))


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


def test_images_are_drawn_with_the_baselines():
    """Baselines without a drop leave the line as it is: the interval is that of two independent shares."""
    line = np.linspace(0.3, 0.95, 200)
    exact = effective_robustness(0.8, 0.7, line, line)
    assert exact.rho.value == pytest.approx(-0.1)
    assert exact.rho.high == pytest.approx(-0.1)
    drawn = effective_robustness(0.8, 0.7, line, line, samples=(1000, 500)).rho
    deviation = np.sqrt(0.8 * 0.2 / 1000 + 0.7 * 0.3 / 500)
    assert (drawn.low, drawn.high) == pytest.approx((-0.1 - 1.97 * deviation, -0.1 + 1.97 * deviation), abs=0.005)
    alone = effective_robustness(0.8, 0.7, line, line, samples=(0, 500)).rho
    assert alone.high - alone.low == pytest.approx(2 * 1.97 * np.sqrt(0.7 * 0.3 / 500), abs=0.005)
    with pytest.raises(ParameterError, match="must be numbers of images"):
        effective_robustness(0.8, 0.7, line, line, samples=(-1, 5))
