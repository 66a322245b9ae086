"""Labels of a set by group and threshold, rates of single labels, neighbours of one attribute, and buckets."""

from __future__ import annotations

import math

import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.fairness.buckets import DATABASE_AGES, age_bucket, income_bucket
from unshaken.measure.fairness.label_association import label_association, label_hits, label_rate_differences
from unshaken.measure.fairness.neighbours import neighbour_agreement, precision_at

LABELS = [["face", "hat"], ["slug", "hat"], ["face", "swine"], ["face", "hat"]]
SCORES = [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.5, 0.5]]
GROUPS = ["a", "a", "b", "b"]
SETS = {"human": {"face", "people"}, "animal": {"slug", "swine"}}


def test_rates_by_set_and_threshold_by_hand():
    found = label_association(LABELS, GROUPS, SETS, scores=SCORES, thresholds=(0, 0.5, 0.6))
    rates = {(s, t): {g: f.value for g, f in r.rates.items()} for s, by in found.items() for t, r in by.items()}
    assert rates["human", 0] == {"a": 0.5, "b": 1.0}
    assert rates["animal", 0] == {"a": 0.5, "b": 0.5}
    assert rates["animal", 0.5] == {"a": 0.5, "b": 0.0}
    assert rates["human", 0.6] == {"a": 0.5, "b": 0.5}
    assert found["human"][0].best == "b"


def test_a_label_counts_from_the_threshold_on():
    wanted = [{"face"}] * 4
    assert label_hits(LABELS, wanted, scores=SCORES, threshold=0.7).tolist() == [True, False, True, False]
    assert label_hits(LABELS, wanted, scores=SCORES, threshold=1).tolist() == [False] * 4


def test_a_set_for_each_image():
    assert label_hits(LABELS, [{"hat"}, {"face"}, {"swine"}, set()]).tolist() == [True, False, True, False]


def test_differences_of_label_rates_by_hand():
    found = label_rate_differences([["x", "y"], ["x"], ["y"], ["x", "z"]], ["a", "a", "b", "c"])
    assert found["a"]["x"] == pytest.approx(2 / 3 - (0 + 1 / 2) / 2)
    assert found["b"]["y"] == pytest.approx(1 - (1 / 3 + 0) / 2)
    assert found["c"]["z"] == pytest.approx(0.5)
    assert next(iter(found["b"])) == "y"
    assert sum(found["a"].values()) == pytest.approx(0)


def test_precision_of_neighbours_by_hand():
    nearest = [["F", "F", "M", "F", "M"], ["M", "F", "F", "F", "F"]]
    assert precision_at(["F", "F"], nearest, 1).tolist() == [1, 0]
    assert precision_at(["F", "F"], nearest, 5).tolist() == [0.6, 0.8]
    found = neighbour_agreement(["F", "F"], nearest, ["light", "dark"])
    assert list(found) == [1, 5]
    overall, groups = found[5]
    assert overall.value == pytest.approx(0.7)
    assert {g: f.value for g, f in groups.rates.items()} == {"light": 0.6, "dark": 0.8}


def test_edges_of_incomes_and_ages():
    assert [income_bucket(v) for v in (90.01, 90.03, 1808.03, 1808.05, 1e6)] == [
        "low", "medium", "medium", "high", "high"
    ]  # fmt: skip
    assert math.exp(4.5) == pytest.approx(90.02, abs=0.005)
    assert math.exp(7.5) == pytest.approx(1808.04, abs=0.005)
    assert [age_bucket(v) for v in (0, 29, 30, 69, 70)] == ["<18", "18-29", "30-44", "45-69", "70+"]
    assert [age_bucket(v, DATABASE_AGES) for v in (12, 13, 45)] == ["<13", "13-29", "45+"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: label_association(LABELS, GROUPS, {}), "one set of labels"),
        (lambda: label_association(LABELS, GROUPS, SETS, thresholds=(2,)), r"threshold must lie in \[0, 1\], not 2"),
        (lambda: label_association(LABELS, GROUPS, SETS, thresholds=(0.5,)), "a threshold needs scores"),
        (lambda: label_association(LABELS, GROUPS, SETS, scores=[[1]] * 4), "one number for each label"),
        (lambda: label_association(LABELS, ["a"] * 4, SETS), "two groups at least"),
        (lambda: label_hits(LABELS, [{"face"}]), "1 sets of labels for 4 images"),
        (lambda: label_hits([], []), "0 images"),
        (lambda: label_rate_differences([["x"], []], ["a", "b"]), "the group 'b' has no label"),
        (lambda: label_rate_differences([["x"]], ["a", "b"]), "1 lists of labels for 2 groups"),
        (lambda: precision_at(["F"], [["F"]], 2), "k must lie in 1 to 1"),
        (lambda: precision_at(["F"], ["F"], 1), r"neighbours must be \[Q, D\]"),
        (lambda: neighbour_agreement(["F"], [["F"]], ["a"], depths=(5,)), "no depth"),
        (lambda: income_bucket(0), "income must be a number above 0, not 0"),
        (lambda: income_bucket(math.nan), "not nan"),
        (lambda: age_bucket(-1), "age must be"),
        (lambda: age_bucket(3, (5, 4)), "edges must rise"),
    ],
)
def test_bad_use_is_named(call, message):
    with pytest.raises(ParameterError, match=message):
        call()
