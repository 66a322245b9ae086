import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.conformal import calibration_needed, conformal_p_values, conformal_threshold

SCORES = st.lists(st.integers(0, 9), min_size=1, max_size=60)


def test_the_threshold_by_hand():
    # 19 samples at 95%: k = ceil(20 x 0.95) = 19, the largest; 99 at 90%: k = 90; 100 at 90%: ceil(90.9) = 91
    assert conformal_threshold(range(19), 0.95).value == 18
    assert conformal_threshold(range(1, 100), 0.9).value == 90
    assert conformal_threshold(range(1, 101), 0.9).value == 91
    # 0.07 x 100 is 7.000000000000001 in float64
    assert conformal_threshold(range(1, 100), 0.07).k == 7


def test_too_few_samples_accept_everything_and_say_how_many_would_do():
    threshold = conformal_threshold(range(18), 0.95)
    assert threshold.value == math.inf
    assert threshold.needed == 19
    assert threshold.accepts([1e9, math.inf]).all()
    assert threshold.accepted_share().value == 1
    assert "18 calibration samples are too few, 19 would do" in threshold.guarantee
    sure = conformal_threshold(range(58), 0.95, confidence=0.95)
    assert (sure.value, sure.needed) == (math.inf, 59)  # Wilks: 0.95^59 < 0.05 < 0.95^58
    assert conformal_threshold(range(59), 0.95, confidence=0.95).value == 58


@pytest.mark.parametrize(
    ("accept", "confidence", "needed"),
    [
        (0.99999, None, 99_999),
        (0.9999999, None, 9_999_999),
        (1 - 1e-12, None, 999_999_999_999),
        (1 - 0.7, None, 1),
        (0.9, 0.19, 2),  # 0.9^2 = 1 - 0.19
        (0.9, 0.1900001, 3),
        (0.5, 0.75, 2),
    ],
)
def test_the_number_needed_is_exact(accept, confidence, needed):
    assert calibration_needed(accept, confidence=confidence) == needed


@pytest.mark.parametrize("accept", [0.5, 0.8, 0.9, 0.95, 0.99, 0.999])
def test_one_sample_fewer_than_needed_is_too_few(accept):
    for confidence in (None, 0.9, 0.99):
        n = calibration_needed(accept, confidence=confidence)
        assert math.isfinite(conformal_threshold(range(n), accept, confidence=confidence).value)
        if n > 1:
            assert math.isinf(conformal_threshold(range(n - 1), accept, confidence=confidence).value)


@pytest.mark.parametrize(("n", "accept"), [(30, 0.9), (99, 0.95), (250, 0.8)])
def test_the_promise_on_average_over_calibrations(n, accept):
    rng = np.random.default_rng(0)
    shares = stats.expon.cdf([conformal_threshold(rng.exponential(size=n), accept).value for _ in range(1000)])
    error = shares.std() / np.sqrt(1000)
    assert shares.mean() >= accept - 3 * error
    assert shares.mean() <= accept + 1 / (n + 1) + 3 * error


def test_the_share_given_the_calibration_follows_its_beta_law():
    rng, n = np.random.default_rng(1), 60
    shares = stats.norm.cdf([conformal_threshold(rng.normal(size=n), 0.9).value for _ in range(1000)])
    k = conformal_threshold(np.zeros(n), 0.9).k
    assert k == 55
    assert stats.kstest(shares, stats.beta(k, n + 1 - k).cdf).pvalue > 1e-3
    figure = conformal_threshold(rng.normal(size=n), 0.9).accepted_share(level=0.9)
    assert figure.value == pytest.approx(55 / 61)
    assert np.mean((figure.low <= shares) & (shares <= figure.high)) == pytest.approx(0.9, abs=0.03)
    assert (figure.n, figure.interval) == (n, "beta 90%")


@pytest.mark.parametrize("scores", [lambda rng, n: rng.integers(0, 4, n), lambda rng, n: np.zeros(n)])
def test_ties_keep_the_promise(scores):
    rng, n, accept = np.random.default_rng(2), 40, 0.9
    accepted = [conformal_threshold(scores(rng, n), accept).accepts(scores(rng, 50)).mean() for _ in range(1000)]
    assert np.mean(accepted) >= accept - 3 * np.std(accepted) / np.sqrt(1000)
    assert conformal_threshold(np.full(30, 7.0), accept).accepts([7.0]).all()


@pytest.mark.parametrize(("n", "accept", "confidence"), [(100, 0.9, 0.95), (300, 0.95, 0.9)])
def test_the_promise_of_this_very_threshold(n, accept, confidence):
    rng = np.random.default_rng(3)
    thresholds = [conformal_threshold(rng.normal(size=n), accept, confidence=confidence) for _ in range(1000)]
    kept = np.mean(stats.norm.cdf([t.value for t in thresholds]) >= accept)
    k = thresholds[0].k
    exact = stats.beta(k, n + 1 - k).sf(accept)
    assert exact >= confidence > stats.beta(k - 1, n + 2 - k).sf(accept)  # the smallest k that will do
    assert kept == pytest.approx(exact, abs=3 * np.sqrt(exact * (1 - exact) / 1000))
    assert f"with probability {confidence}" in thresholds[0].guarantee


def test_p_values_by_hand():
    # calibration 1 2 2 5: at least 0: 4, at least 2: 3, at least 3: 1, at least 6: 0, of which one more, by 5
    assert conformal_p_values([2, 1, 5, 2], [0, 2, 3, 6, np.inf]).tolist() == [1, 0.8, 0.4, 0.2, 0.2]


@settings(deadline=None, max_examples=80)
@given(SCORES, SCORES, st.sampled_from([0.5, 0.75, 0.9, 0.95]))
def test_p_values_and_threshold_accept_the_same_samples(calibration, scores, accept):
    by_p = conformal_p_values(calibration, scores) > 1 - accept + 1e-12
    assert conformal_threshold(calibration, accept).accepts(scores).tolist() == by_p.tolist()


@pytest.mark.parametrize("levels", [None, 5])
def test_p_values_of_normal_samples_are_not_below_uniform(levels):
    rng = np.random.default_rng(4)
    draw = lambda n: rng.random(n) if levels is None else rng.integers(0, levels, n)  # noqa: E731
    p = np.array([conformal_p_values(draw(19), draw(1))[0] for _ in range(4000)])
    for u in (0.05, 0.1, 0.25, 0.5, 0.8):
        assert np.mean(p <= u) <= u + 3 * np.sqrt(u * (1 - u) / 4000)
    if levels is None:
        assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.011)  # exact on the grid 1/20, 2/20, ...


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conformal_threshold([]), "calibration is empty"),
        (lambda: conformal_threshold([1, np.nan]), "calibration has 1 missing"),
        (lambda: conformal_threshold([1], 95), "accept must lie inside"),
        (lambda: conformal_threshold([1], 1.0), "accept must lie inside"),
        (lambda: conformal_threshold([1], 0.9, confidence=1), "confidence must lie inside"),
        (lambda: conformal_p_values([], [1]), "calibration is empty"),
        (lambda: conformal_p_values([1], []), "scores is empty"),
        (lambda: conformal_p_values([1], [np.nan]), "missing"),
        (lambda: conformal_threshold([1]).accepts([np.nan]), "missing"),
        (lambda: conformal_threshold([1]).accepted_share(level=2), "level"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ParameterError, match=message):
        call()
