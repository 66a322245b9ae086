from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from unshaken.core.errors import ParameterError
from unshaken.measure import Figure
from unshaken.measure.statistics.intervals import (
    bootstrap_figure,
    bootstrap_means,
    centred_figure,
    clopper_pearson,
    drawn_share,
    median,
    share,
    stratified_share,
)


def test_json_has_the_five_fields_of_the_contract():
    text = json.dumps(Figure(0.25, 0.0, 0.5, 4, "clopper-pearson 95%").to_json())
    assert json.loads(text) == {"value": 0.25, "low": 0.0, "high": 0.5, "n": 4, "interval": "clopper-pearson 95%"}


def test_an_unbounded_end_is_null_in_json():
    text = json.dumps(Figure(1.0, -math.inf, math.inf, 2, "x").to_json(), allow_nan=False)
    assert json.loads(text)["low"] is None
    assert json.loads(text)["high"] is None


@pytest.mark.parametrize("ends", [(math.nan, 0, 1), (0.5, math.nan, 1), (0.5, 0, math.nan), (math.inf, 0, math.inf)])
def test_not_a_number_is_refused(ends):
    with pytest.raises(ParameterError, match="finite number"):
        Figure(*ends, 3, "x")


def test_a_value_outside_its_interval_is_refused():
    with pytest.raises(ParameterError, match=r"0\.6 is outside its interval \[0\.1, 0\.5\]"):
        Figure(0.6, 0.1, 0.5, 3, "x")


def test_a_figure_of_no_sample_is_refused():
    with pytest.raises(ParameterError, match="n = 0"):
        Figure(0.5, 0.0, 1.0, 0, "x")


def test_a_figure_cannot_be_changed():
    with pytest.raises(AttributeError):
        Figure(0.5, 0.0, 1.0, 1, "x").value = 0.6


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.9, 0.95]))
def test_clopper_pearson_agrees_with_scipy(counts, level):
    k, n = counts
    reference = stats.binomtest(k, n).proportion_ci(level, method="exact")
    assert np.allclose(clopper_pearson(k, n, level=level), (reference.low, reference.high), atol=1e-12)


def test_clopper_pearson_by_hand():
    # no success in n: the upper end solves (1 - p)^n = 0.025; all: the lower end solves p^n = 0.025; n = 1 likewise
    low, high = clopper_pearson([0, 5, 0], [5, 5, 1])
    assert low == pytest.approx([0, 0.025 ** (1 / 5), 0])
    assert high == pytest.approx([1 - 0.025 ** (1 / 5), 1, 0.975])


@pytest.mark.parametrize("p", [0.01, 0.1, 0.37, 0.5, 0.93])
def test_clopper_pearson_covers_at_least_its_level(p):
    k = np.arange(21)
    low, high = clopper_pearson(k, 20)
    covered = stats.binom.pmf(k, 20, p)[(low <= p) & (p <= high)].sum()  # summed over all outcomes: exact
    assert covered >= 0.95


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_counts_that_cannot_be_are_refused(k, n):
    with pytest.raises(ParameterError, match=r"0\.\.n"):
        clopper_pearson(k, n)


@pytest.mark.parametrize("level", [0.0, 1.0, 95])
def test_a_level_outside_0_and_1_is_refused(level):
    with pytest.raises(ParameterError, match="level"):
        share(1, 2, level=level)


def test_the_interval_says_its_method_and_level():
    assert share(1, 2).interval == "clopper-pearson 95%"
    assert share(1, 2, level=0.999).interval == "clopper-pearson 99.9%"


@pytest.mark.parametrize(("n", "k"), [(6, 1), (10, 2), (20, 6), (50, 18), (100, 40)])
def test_the_median_lies_between_the_tabulated_order_statistics(n, k):
    # ranks k and n + 1 - k of the sign test's 95% interval, as tables of the sign test give them
    figure = median(np.arange(1.0, n + 1))
    assert (figure.value, figure.low, figure.high) == ((n + 1) / 2, k, n + 1 - k)


def test_the_median_of_few_has_no_bounds():
    figure = median(np.array([3.0, 1.0, 2.0]))
    assert (figure.value, figure.low, figure.high) == (2, 0, np.inf)
    assert median(np.array([-3.0, -1.0]), floor=-4.0).low == -4


def test_the_median_may_be_infinitely_far_or_bounded_on_one_side():
    values = np.array([1.0] * 6 + [np.inf] * 4)
    assert median(values).value == 1
    assert median(values).high == np.inf
    assert median(np.array([1.0, np.inf, np.inf])) is None


def test_bootstrap_means_have_the_distribution_that_enumeration_gives():
    # two samples 0 and 1: the resamples 00, 01, 10, 11 give means 0, 1/2, 1/2, 1
    draws = bootstrap_means(np.array([[0.0], [1.0]]), resamples=20_000)[:, 0]
    shares = [(draws == m).mean() for m in (0, 0.5, 1)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.015)


def test_bootstrap_resamples_the_columns_together():
    x = np.random.default_rng(1).random(40)
    draws = bootstrap_means(np.stack([x, 1 - x], 1), resamples=50)
    assert draws.sum(1) == pytest.approx(np.ones(50))
    assert draws[:, 0].std() > 0.01


def test_bootstrap_draws_are_the_same_in_one_block_or_many(monkeypatch):
    x = np.random.default_rng(1).random((30, 2))
    whole = bootstrap_means(x, resamples=23, seed=4)
    monkeypatch.setattr("unshaken.measure.statistics.intervals._CHUNK", 150)  # 5 resamples a block
    assert bootstrap_means(x, resamples=23, seed=4) == pytest.approx(whole, abs=1e-15)


def test_of_very_many_samples_means_are_drawn_with_the_bootstraps_own_mean_and_covariance(monkeypatch):
    x = np.random.default_rng(1).random(400)
    x = np.stack([x, 1 - x, np.zeros(400)], 1)  # whose sums are known, and one without any spread
    monkeypatch.setattr("unshaken.measure.statistics.intervals.NORMAL", 399)
    draws = bootstrap_means(x, resamples=4000, seed=4)
    assert draws.sum(1) == pytest.approx(np.ones(4000), abs=1e-7)
    assert draws.mean(0) == pytest.approx(x.mean(0), abs=5 * x[:, 0].std() / 20 / 63)  # five standard errors
    assert draws[:, 0].std() == pytest.approx(x[:, 0].std() / 20, rel=0.06)
    assert not draws[:, 2].any()


def test_a_bootstrap_interval_is_the_percentiles_widened_to_hold_the_value():
    draws = np.linspace(0, 1, 1001)
    inside, outside = bootstrap_figure(0.5, draws, 10**6), bootstrap_figure(1.2, draws, 10**6)
    assert (inside.low, inside.high) == pytest.approx((0.025, 0.975), abs=1e-4)
    assert (outside.low, outside.high) == pytest.approx((0.025, 1.2), abs=1e-4)
    assert inside.interval == "bootstrap 95% (1001)"


def test_no_resample_is_refused():
    with pytest.raises(ParameterError, match="resamples must be at least 1, not 0"):
        bootstrap_means(np.ones((2, 1)), resamples=0)


def test_a_centred_interval_is_the_spread_of_the_draws_around_the_value():
    draws = np.linspace(0.4, 0.8, 1001)  # their mean is 0.6, whatever the value
    figure = centred_figure(0.5, draws, 7)
    assert (figure.value, figure.low, figure.high) == pytest.approx((0.5, 0.5 - 0.19, 0.5 + 0.19))
    assert (figure.n, figure.interval) == (7, "bootstrap 95% (1001), centred")
    half = centred_figure(0.5, draws, 7, level=0.5)
    assert (half.low, half.high) == pytest.approx((0.4, 0.6))
    least, most = centred_figure(0.05, draws, 7, low=0.0), centred_figure(0.95, draws, 7)
    assert (least.low, least.high) == pytest.approx((0.0, 0.24))
    assert (most.low, most.high) == pytest.approx((0.76, 1.0))
    assert centred_figure(-0.9, draws, 7).low == -1
    assert centred_figure(1.5, draws, 7, high=1.0).high == 1.5  # the value is inside in any case


def test_a_centred_interval_holds_the_value_where_draws_lie_on_one_side():
    skewed = centred_figure(0.5, np.array([0.0] * 99 + [1.0]), 7)  # both quantiles are below the mean, 0.01
    assert (skewed.low, skewed.high) == pytest.approx((0.49, 0.5))


def test_a_bootstrap_of_few_has_the_width_of_student_s_interval():
    # resamples have a variance of (n - 1) / n that of the mean: normal draws, with t_(0.975, 4) = 2.776445
    n, error = 5, 0.3
    draws = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000) * error * np.sqrt((n - 1) / n)
    figure = bootstrap_figure(0.0, draws, n)
    assert (figure.low, figure.high) == pytest.approx((-2.776445 * error, 2.776445 * error), rel=1e-3)
    assert bootstrap_figure(0.0, draws, 500, units=n) == replace(figure, n=500)


def test_draws_that_are_all_alike_are_no_certainty():
    same = np.full(50, 0.3)
    assert (bootstrap_figure(0.3, same, 9).low, bootstrap_figure(0.3, same, 9).high) == (-np.inf, np.inf)
    figure = bootstrap_figure(0.3, same, 9, ends=(0.1, 0.6))
    assert (figure.low, figure.high, figure.interval) == (0.1, 0.6, "no resample differs 95%")
    assert (centred_figure(0.3, same, 9, low=0.0).low, centred_figure(0.3, same, 9, low=0.0).high) == (0, 1)


@pytest.mark.parametrize("k", [0, 1, 8, 19, 20])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_of_one_stratum_it_is_clopper_and_pearsons(k, level):
    figure, known = stratified_share([k], [20], [1000], level=level), share(k, 20, level=level)
    assert (figure.value, figure.n) == (known.value, 20)
    assert (figure.low, figure.high) == pytest.approx((known.low, known.high), abs=2e-3)
    assert figure.interval == f"melded {100 * level:g}%"


def test_strata_count_by_their_size():
    figure = stratified_share([8, 1], [20, 20], [100, 900])
    assert figure.value == pytest.approx(0.1 * 0.4 + 0.9 * 0.05)
    assert figure.n == 40
    one, other = share(8, 20), share(1, 20)
    assert 0.1 * one.low + 0.9 * other.low < figure.low < figure.value  # both at their ends together are rarer
    assert figure.value < figure.high < 0.1 * one.high + 0.9 * other.high


@pytest.mark.parametrize("hits", [0, 3, 10])
def test_what_was_reviewed_whole_adds_no_width(hits):
    whole, alone = stratified_share([hits, 5], [10, 30], [10, 90]), share(5, 30)
    assert whole.value == pytest.approx(0.1 * hits / 10 + 0.9 * 5 / 30)
    known = 0.1 * hits / 10
    assert (whole.low, whole.high) == pytest.approx((known + 0.9 * alone.low, known + 0.9 * alone.high), abs=2e-3)
    everything = stratified_share([hits, 5], [10, 30], [10, 30])
    assert (everything.low, everything.high) == pytest.approx((everything.value, everything.value))


def test_the_seed_shuffles_a_little():
    one, other = (stratified_share([8, 1], [20, 20], [100, 900], seed=s) for s in (0, 1))
    assert (one.low, one.high) != (other.low, other.high)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=0.02)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([1], [2, 2], [3, 3]), "1 counts of successes, 2 of reviewed and 2 sizes"),
        (([1, 1], [2, 2], [3]), "2 counts of successes, 2 of reviewed and 1 sizes"),
        (([-1], [2], [3]), "successes must lie in"),
        (([3], [2], [3]), "successes must lie in"),
        (([0], [0], [3]), r"reviewed in 0\.\."),
        (([1], [4], [3]), r"reviewed in 0\.\."),
    ],
)
def test_counts_that_do_not_fit_are_refused(columns, message):
    with pytest.raises(ParameterError, match=message):
        stratified_share(*columns)
    with pytest.raises(ParameterError, match="level"):
        stratified_share([1], [2], [3], level=1)


def test_the_share_of_a_drawn_population_is_covered_whatever_it_is():
    size, n = 14, 5
    for true in range(size + 1):
        chance = [math.comb(true, k) * math.comb(size - true, n - k) / math.comb(size, n) for k in range(n + 1)]
        figures = [drawn_share(k, n, size, level=0.8) for k in range(n + 1)]
        inside = [figure.low - 1e-9 <= true / size <= figure.high + 1e-9 for figure in figures]
        assert sum(p for p, held in zip(chance, inside, strict=True) if held) >= 0.8
        tails = [(sum(chance[k:]), sum(chance[: k + 1])) for k in range(n + 1)]
        assert [min(both) > 0.1 for both in tails] == inside  # and no end could lie further in


def test_the_share_of_a_drawn_population_has_known_ends():
    assert drawn_share(3, 7, 7).to_json() == {
        "value": 3 / 7, "low": 3 / 7, "high": 3 / 7, "n": 7, "interval": "hypergeometric 95%",
    }  # fmt: skip
    low, high = clopper_pearson(4, 30)
    large = drawn_share(4, 30, 10_000_000)
    assert (large.low, large.high) == (pytest.approx(float(low), abs=1e-6), pytest.approx(float(high), abs=1e-6))
    for counts in ((-1, 5, 9), (6, 5, 9), (1, 10, 9), (0, 0, 9)):
        with pytest.raises(ParameterError, match=r"successes must lie in 0\.\.drawn"):
            drawn_share(*counts)
