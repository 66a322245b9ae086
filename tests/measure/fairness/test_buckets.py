"""Incomes and ages at the edges of their groups."""

from __future__ import annotations

import math

import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.fairness.buckets import age_bucket, income_bucket


def test_the_least_and_the_largest_incomes():
    assert [income_bucket(v) for v in (0.01, 1, 4, 5, 90, 91, 1808, 1809, 40_000, 1e12)] == (
        ["low"] * 5 + ["medium"] * 2 + ["high"] * 3
    )


def test_ages_at_each_edge():
    assert [age_bucket(v, (10, 20)) for v in (0, 9.9, 10, 19.9, 20, 99)] == ["<10"] * 2 + ["10-19"] * 2 + ["20+"] * 2
    assert [age_bucket(v, (5,)) for v in (4, 5)] == ["<5", "5+"]


@pytest.mark.parametrize("income", [0, -1, math.inf, math.nan])
def test_what_is_no_income(income):
    with pytest.raises(ParameterError, match=f"income must be a number above 0, not {income}"):
        income_bucket(income)


@pytest.mark.parametrize("age", [-1, math.inf, math.nan])
def test_what_is_no_age(age):
    with pytest.raises(ParameterError, match="age must be a number of years, 0 or more"):
        age_bucket(age)


@pytest.mark.parametrize("edges", [(), (5, 5), (5, 4)])
def test_edges_rise(edges):
    with pytest.raises(ParameterError, match="edges must rise"):
        age_bucket(3, edges)
