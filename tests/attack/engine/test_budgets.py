"""Budgets and conditions by hand."""

from __future__ import annotations

import math

import pytest

from unshaken.attack.engine.budgets import check_budgets
from unshaken.core.errors import ParameterError

NORMS = ("linf", "l2")


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
