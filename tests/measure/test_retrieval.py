"""Copy detection and geolocation by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.retrieval import (
    RADIUS,
    copy_detection,
    copy_precision,
    great_circle,
    kendall_tau,
    rank_biased_overlap,
    within_distances,
)


def test_values_by_hand():
    assert kendall_tau("abc", "bac") == pytest.approx(1 / 3)
    assert kendall_tau("abcd", "dcba") == -1
    assert kendall_tau("abc", "abc") == 1
    assert (kendall_tau("a", "a"), kendall_tau("", "")) == (1, 1)
    assert kendall_tau("ab", "ba") == -1
    assert rank_biased_overlap("abcd", "badc") == rank_biased_overlap("abcd", "badc", p=0.9) != 1
    assert rank_biased_overlap("abc", "bac", p=0.9) == pytest.approx(0.9)
    assert rank_biased_overlap("abc", "abc", p=0.7) == pytest.approx(1)
    assert rank_biased_overlap("abc", "def") == 0
    # X = 1, 1, 2: 2/3 p^3 + (1 - p)/p (p + p^2/2 + 2 p^3/3) at p = 1/2
    assert rank_biased_overlap("abc", "adb", p=0.5) == pytest.approx(2 / 24 + 0.5 + 0.125 + 2 / 24)


@pytest.mark.parametrize(("one", "other"), [("abc", "abd"), ("aab", "abb"), ("ab", "abc")])
def test_orders_of_other_items_are_refused(one, other):
    with pytest.raises(ParameterError, match="same items"):
        kendall_tau(one, other)


@pytest.mark.parametrize(("one", "other", "p"), [("", "", 0.9), ("ab", "abc", 0.9), ("aa", "ab", 0.9), ("a", "a", 1.0)])
def test_lists_that_cannot_be_compared_are_refused(one, other, p):
    with pytest.raises(ParameterError):
        rank_biased_overlap(one, other, p=p)


def test_the_precision_of_a_copy_is_one_over_the_rank_of_its_original():
    table = [[0.9, 0.1, 0.5], [0.9, 0.1, 0.5], [0.9, 0.1, 0.5], [0.4, 0.4, 0.4]]
    assert copy_precision(table, [0, 1, 2, 0]).tolist() == [1, 1 / 3, 1 / 2, 1 / 3]  # ties: the original is last


def test_edits_apart_and_together():
    table = np.eye(4)[[0, 1, 2, 3]] - 2 * np.eye(4)[[3, 3, 3, 3]]
    found = copy_detection(table, [0, 1, 2, 3], ["crop", "crop", "blur", "blur"])
    assert found["crop"].value == 1
    assert found["blur"].value == pytest.approx((1 + 1 / 4) / 2)
    assert found["all"].value == pytest.approx((3 + 1 / 4) / 4)


def test_great_circles_of_the_publication():
    assert great_circle([48.8566], [2.3522], [51.5074], [-0.1278])[0] == pytest.approx(343.56, abs=0.005)
    assert great_circle([0], [0], [0], [1])[0] == pytest.approx(111.195, abs=5e-4)
    assert great_circle([60], [0], [60], [1])[0] == pytest.approx(55.597, abs=1e-3)
    assert great_circle([90, 10], [0, 20], [-90, -10], [0, -160]) == pytest.approx([math.pi * RADIUS] * 2)
    assert round(math.pi * RADIUS, 1) == 20015.1
    assert great_circle([1], [179.5], [1], [-179.5])[0] == pytest.approx(111.195, abs=0.1)


def test_shares_within_distances():
    found = within_distances([0.5, 20, 199, 700, 9000])
    assert {d: f.value for d, f in found.items()} == {1: 0.2, 25: 0.4, 200: 0.6, 750: 0.8, 2500: 0.8}
    assert within_distances([0, 1, 2], [1])[1.0].value == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: great_circle([200], [0], [0], [0]), r"latitude must lie in \[-90, 90\].*200"),
        (lambda: great_circle([0], [0], [0], [181]), r"longitude must lie in \[-180, 180\].*181"),
        (lambda: great_circle([0, 1], [0], [0], [0]), "one value a sample"),
        (lambda: great_circle([math.nan], [0], [0], [0]), "latitude has 1 missing"),
        (lambda: within_distances([-1]), "errors must lie"),
        (lambda: within_distances([1], [0]), "distances must be above 0 km, not 0"),
        (lambda: copy_precision([[0.1]], [1]), "originals must be columns 0 to 0"),
        (lambda: copy_precision([[math.nan]], [0]), r"missing values \(NaN\)"),
        (lambda: copy_precision([0.1], [0]), r"similarities must be \[Q, G\]"),
        (lambda: copy_detection([[0.1]], [0], []), "0 edits for 1 copies"),
    ],
)
def test_bad_use_is_named(call, message):
    with pytest.raises(ParameterError, match=message):
        call()
