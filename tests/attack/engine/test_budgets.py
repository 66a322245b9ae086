"""Budgets and conditions by hand."""

from __future__ import annotations

import math

import pytest

from unshaken.attack.engine.budgets import check_budgets, conditions_of
from unshaken.core.errors import ParameterError

NORMS = ("linf", "l2")


def conditions(eps, norm="l2", norms=NORMS, **options):
    given = {"label": "x", "severities": (), "eps": eps, "norm": norm} | options
    return [(c.id, c.eps, c.norm) for c in conditions_of("some", norms, **given)]


def test_budgets_are_finite_and_not_below_0():
    assert check_budgets("some", NORMS, "l2", (0.5, 0.0)) == [0.5, 0.0]
    for eps in (-0.1, math.inf, math.nan, -math.inf):
        with pytest.raises(ParameterError, match="must be a finite number >= 0"):
            check_budgets("some", NORMS, "l2", (0.5, eps))
    assert check_budgets("some", NORMS, "l2", (0.5, math.inf), minimal=True) == [0.5, math.inf]
    for eps in (-0.1, math.nan, -math.inf):
        with pytest.raises(ParameterError, match="must be a finite number >= 0"):
            check_budgets("some", NORMS, "l2", (eps,), minimal=True)
    for norm in ("l1", None):
        with pytest.raises(ParameterError, match="is not one of linf, l2"):
            check_budgets("some", NORMS, norm, (0.5,))
    with pytest.raises(ParameterError, match="give eps"):
        check_budgets("some", NORMS, "l2", ())


def test_without_norms_there_is_one_budget_and_none_is_given():
    assert check_budgets("some", (), None, ()) == [math.inf]
    with pytest.raises(ParameterError, match="has no eps"):
        check_budgets("some", (), None, (0.1,))
    assert conditions((), norms=()) == [("x", None, None)]
    with pytest.raises(ParameterError, match="has no eps"):
        conditions((0.1,), norms=())


def test_a_condition_a_budget():
    assert conditions((0.5, 1 / 3)) == [("x-l2-0.5", 0.5, "l2"), ("x-l2-0.333333", 1 / 3, "l2")]
    assert conditions((), minimal=True) == [("x-l2", None, "l2")]
    assert conditions((math.inf, 0.5), minimal=True) == [("x-l2-0.5", 0.5, "l2"), ("x-l2", None, "l2")]
    with pytest.raises(ParameterError, match="not severities"):
        conditions((0.5,), severities=(1,))
