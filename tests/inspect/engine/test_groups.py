"""Groups of alike images, and what they do to an accuracy, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from unshaken.inspect import Measured
from unshaken.inspect.engine.groups import group_issues, join_pairs


def measured(sets, labels=None, correct=None):
    n = len(sets)
    return Measured(
        ("data", "train"), np.array(sets), [f"i{k}" for k in range(n)], labels or [None] * n, [""] * n, {},
        np.array([-1] * n if correct is None else correct, np.int8),
    )  # fmt: skip


def test_pairs_are_joined_to_chains():
    assert join_pairs(np.array([3, 1]), np.array([1, 4]), 6).tolist() == [0, 1, 2, 1, 1, 3]
    assert join_pairs(np.array([], int), np.array([], int), 2).tolist() == [0, 1]
    assert join_pairs(np.array([0] * 300), np.array([1] * 300), 3).tolist() == [0, 0, 1]  # a pair may come often


def test_groups_across_sets_come_first_and_groups_of_other_sets_not_at_all():
    sets = [0, 0, 0, 0, 0, 1, 1, 1]
    found = group_issues(measured(sets), np.array([0, 0, 0, 1, 2, 1, 3, 3]), np.zeros(8), "duplicates")
    assert found.rows.tolist() == [3, 5, 0, 1, 2]
    assert found.groups.tolist() == [0, 0, 1, 1, 1]
    assert found.notes[0] == "group of 2, across sets"
    assert found.notes[-1] == "group of 3"
    leak = found.figures["leak_duplicates"]
    assert (leak.value, leak.n) == (0.2, 5)
    low, high = scipy.stats.binomtest(1, 5).proportion_ci(0.95, method="exact")
    assert (leak.low, leak.high) == pytest.approx((low, high))


def test_the_accuracy_without_leaked_samples():
    n = 60  # 20 leaked, of which 19 are right; 40 others, of which 20 are
    sets, correct = [0] * n + [1] * 20, [1] * 19 + [0] + [1] * 20 + [0] * 20 + [-1] * 20
    component = np.concatenate([np.arange(n), np.arange(20)])
    figures = group_issues(measured(sets, correct=correct), component, np.zeros(n + 20), "copies").figures
    assert figures["accuracy_copies"].value == 39 / 60
    assert figures["accuracy_without_copies"].value == 0.5
    inflation = figures["inflation_copies"]
    assert inflation.value == pytest.approx(39 / 60 - 0.5)
    assert 0 < inflation.low < inflation.value < inflation.high < 1 / 3


def test_labels_that_differ_in_a_group_are_told():
    found = group_issues(
        measured([0] * 5, ["a", "b", "a", "a", None]), np.array([0, 0, 1, 1, 1]), np.zeros(5), "copies"
    )
    assert found.remarks == ("1 of 2 groups have images with different labels.",)
    assert [note.endswith("other label") for note in found.notes] == [False] * 3 + [True] * 2
