"""Gaps between classes and groups, and lines through few models: intervals hold the truth, equal rates included."""

import numpy as np
import pytest

from unshaken.measure.fairness import group_rates
from unshaken.measure.robustness.effective_robustness import effective_robustness
from unshaken.measure.robustness.fairness import disparity
from unshaken.measure.statistics.correlation import correlation
from unshaken.measure.statistics.intervals import gap_figure

REPEATS = 40


def held(draw, truth):
    rng = np.random.default_rng(0)
    figures = [draw(rng) for _ in range(REPEATS)]
    return np.mean([f.low <= truth <= f.high for f in figures])


@pytest.mark.parametrize(("rate", "n"), [(0.8, 10), (0.8, 50), (1.0, 10)])
def test_ten_equal_classes_have_a_gap_of_0_within_the_interval(rate, n):
    labels = np.repeat(np.arange(10), n)
    assert held(lambda rng: disparity(rng.random(len(labels)) < rate, labels, resamples=300).gap, 0) > 0.88
    assert held(lambda rng: disparity(rng.random(len(labels)) < rate, labels, resamples=300).deviation, 0) > 0.88


def test_a_class_that_is_worse_keeps_its_gap():
    labels = np.repeat(np.arange(6), 50)
    rates = np.array([0.9] * 5 + [0.5])[labels]
    found = [disparity(np.random.default_rng(i).random(300) < rates, labels, resamples=300).gap for i in range(REPEATS)]
    assert np.mean([f.low <= 0.4 <= f.high for f in found]) > 0.8
    assert np.mean([f.low > 0.1 for f in found]) > 0.9


@pytest.mark.parametrize("rate", [0.5, 0.95])
def test_two_equal_groups_have_a_gap_of_0_within_the_interval(rate):
    groups = np.repeat(["a", "b"], 20)
    assert held(lambda rng: group_rates((rng.random(40) < rate) * 1.0, groups, resamples=100).gap, 0) > 0.85
    assert held(lambda rng: group_rates((rng.random(40) < rate) * 1.0, groups, resamples=100).ratio, 1) > 0.85


def test_the_lower_end_makes_up_for_the_bias_by_hand():
    """Draws of 0.5 +- 0.1 about a value of 0.4: too large by 0.1, so that the lower end is 0.4 - 0.1 - 0.1."""
    draws = np.array([0.4, 0.6] * 50)
    figure = gap_figure(0.4, draws, np.zeros(100), 30)
    assert (figure.low, figure.high) == pytest.approx((0.2, 0.5))
    assert gap_figure(0.4, draws, draws, 30).low == 0  # equal rates often show as much


def test_few_models_leave_their_line_in_doubt():
    def rho(rng, models):
        clean = rng.uniform(0.5, 0.9, models)
        logit = -0.8 + 1.1 * np.log(clean / (1 - clean)) + rng.normal(0, 0.1, models)
        return effective_robustness(0.75, 0.5, clean, 1 / (1 + np.exp(-logit)), resamples=300).rho

    truth = 0.5 - 1 / (1 + np.exp(-(-0.8 + 1.1 * np.log(3))))
    assert held(lambda rng: rho(rng, 3), truth) == 1
    assert held(lambda rng: rho(rng, 6), truth) > 0.85


@pytest.mark.parametrize("n", [5, 10])
def test_spearman_s_interval_holds_a_correlation_near_1(n):
    side = np.sqrt(1 - 0.95**2)

    def figure(rng):
        x, noise = rng.normal(size=(2, n))
        return correlation(x, 0.95 * x + side * noise, kind="spearman").figure

    assert held(figure, 6 / np.pi * np.arcsin(0.95 / 2)) > 0.88
