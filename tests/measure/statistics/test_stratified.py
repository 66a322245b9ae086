"""Shares of a population from its strata: by hand, against Clopper and Pearson, and what is known adds no width."""

from __future__ import annotations

import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure import stratified_share
from unshaken.measure.statistics.intervals import share


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
        (([0], [0], [3]), "reviewed in 1"),
        (([1], [4], [3]), "reviewed in 1"),
    ],
)
def test_counts_that_do_not_fit_are_refused(columns, message):
    with pytest.raises(ParameterError, match=message):
        stratified_share(*columns)
    with pytest.raises(ParameterError, match="level"):
        stratified_share([1], [2], [3], level=1)
