"""Correlations against scipy, by hand, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.correlation import correlation

RNG = np.random.default_rng(0)
X = RNG.standard_normal(30)
Y = 0.6 * X + RNG.standard_normal(30)


def test_pearson_is_scipys():
    found, other = correlation(X, Y), stats.pearsonr(X, Y)
    ends = other.confidence_interval()
    assert (found.figure.value, found.p_value) == pytest.approx((other.statistic, other.pvalue))
    assert (found.figure.low, found.figure.high) == pytest.approx((ends.low, ends.high))
    assert found.slope == pytest.approx(np.polyfit(X, Y, 1)[0])


def test_spearman_by_hand():
    found = correlation([1, 2, 3, 4, 5], [1, 3, 2, 5, 4], kind="spearman")
    assert found.figure.value == pytest.approx(1 - 6 * 4 / (5 * 24))
    half = 1.959964 * math.sqrt((1 + 0.8**2 / 2) / 2)  # Bonett and Wright's variance, as 1 + r^2 / 2 is above 1.06
    assert found.figure.low == pytest.approx(math.tanh(math.atanh(0.8) - half), abs=1e-6)


def test_ranks_that_agree_in_full_may_differ_by_a_swap_elsewhere():
    found = correlation([1, 2, 3, 4], [2, 3, 5, 9], kind="spearman").figure  # one swap of neighbours leaves 0.8
    half = 1.959964 * math.sqrt(1.5)
    assert found.low == pytest.approx(math.tanh(math.atanh(0.8) - half), abs=1e-6)
    assert (found.value, found.high) == (1, 1)


def test_a_perfect_line_has_an_interval():
    found = correlation([1, 2, 3, 4], [2, 4, 6, 8]).figure
    assert found.value == pytest.approx(1)
    assert found.high == pytest.approx(1)


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
def test_the_interval_holds_0_in_nineteen_of_twenty(kind):
    rng = np.random.default_rng(1)
    found = [correlation(*rng.standard_normal((2, 16)), kind=kind).figure for _ in range(200)]
    assert 0.90 < np.mean([f.low <= 0 <= f.high for f in found]) < 0.99


def test_bad_columns_are_one_clear_line():
    with pytest.raises(ParameterError, match="four pairs at least, not 3"):
        correlation([1, 2, 3], [1, 2, 3])
    with pytest.raises(ParameterError, match=r"y is constant \(2\)"):
        correlation([1, 2, 3, 4], [2, 2, 2, 2])
    with pytest.raises(ParameterError, match="missing"):
        correlation([1, 2, 3, math.nan], [1, 2, 3, 4])
    with pytest.raises(ParameterError, match="x must lie in"):
        correlation([1, 2, 3, math.inf], [1, 2, 3, 4])
