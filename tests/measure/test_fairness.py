"""Rates by group by hand, intervals by subject against simulation, small groups, and bad columns."""

from __future__ import annotations

import math

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.fairness import (
    DATABASE_AGES,
    age_bucket,
    group_rates,
    income_bucket,
    label_association,
    label_hits,
    label_rate_differences,
    mean_by_subject,
    neighbour_agreement,
    precision_at,
)

HITS = np.repeat([1, 0, 1, 0, 1, 0], [8, 2, 5, 5, 9, 3])
GROUPS = np.repeat(["one", "two", "three"], [10, 10, 12])


def test_three_groups_by_hand():
    found = group_rates(HITS, GROUPS)
    assert {name: figure.value for name, figure in found.rates.items()} == {"one": 0.8, "two": 0.5, "three": 0.75}
    assert found.gap.value == pytest.approx(0.3)
    assert found.ratio.value == pytest.approx(0.625)
    assert (found.worst, found.best) == ("two", "one")
    assert found.rates["one"].interval.startswith("clopper-pearson")
    assert found.small == ("one", "three", "two")
    assert group_rates(HITS, GROUPS, least=11).small == ("one", "two")
    assert group_rates(HITS, GROUPS, least=10).small == ()
    order = np.random.default_rng(0).permutation(32)
    assert group_rates(HITS[order], GROUPS[order]).rates == found.rates


def test_many_photos_of_one_person_are_one_person():
    """Copies of each image leave the values, and, as one subject each, the interval of the gap."""
    once = group_rates(HITS, GROUPS)
    people = np.arange(len(HITS))
    copied = group_rates(HITS.repeat(20), GROUPS.repeat(20), subjects=people.repeat(20))
    naive = group_rates(HITS.repeat(20), GROUPS.repeat(20))
    width = lambda f: f.high - f.low  # noqa: E731
    assert copied.gap.value == pytest.approx(once.gap.value)
    assert width(copied.gap) == pytest.approx(width(once.gap), abs=1e-9)
    assert width(naive.gap) < 0.5 * width(once.gap)
    assert copied.subjects == once.subjects == {"one": 10, "three": 12, "two": 10}
    assert copied.rates["two"].interval.startswith("bootstrap")


def test_groups_of_the_same_subjects_are_compared_in_pairs():
    """Where each subject has the same value in both groups, the gap is 0 in every resample: others may be missed."""
    values = np.random.default_rng(0).integers(0, 2, 50)
    found = group_rates(np.tile(values, 2), ["light"] * 50 + ["dark"] * 50, subjects=[*range(50), *range(50)])
    assert (found.gap.value, found.gap.low, found.gap.high) == pytest.approx((0, 0, 1 - 0.025 ** (1 / 50)))
    assert found.ratio.low == pytest.approx(1 / (1 + 0.0711 / (found.rates["dark"].value * 0.9289)), abs=1e-4)
    apart = group_rates(np.tile(values, 2), ["light"] * 50 + ["dark"] * 50)
    assert apart.gap.high > 1.5 * found.gap.high


def test_the_interval_of_a_gap_holds_it_in_simulation():
    rng, held = np.random.default_rng(3), 0
    for trial in range(100):
        hits = np.concatenate([rng.random(80) < p for p in (0.5, 0.9)])
        gap = group_rates(hits, np.repeat(["a", "b"], 80), resamples=300, seed=trial).gap
        held += gap.low <= 0.4 <= gap.high
    assert held >= 89  # of 95 expected; 88 or fewer have a probability below one in a hundred


def test_groups_without_a_hit_may_differ_all_the_same():
    found = group_rates([0] * 10, ["a"] * 4 + ["b"] * 6)
    assert (found.gap.value, found.gap.low) == (0, 0)
    assert 0.2 < found.gap.high < 0.6  # Clopper and Pearson: up to 0.60 of four and 0.46 of six
    people = mean_by_subject([1] * 40, np.arange(4).repeat(10))
    assert people.low < 0.7
    assert people.high == 1


def test_values_between_0_and_1_and_a_group_of_nothing():
    found = group_rates([0.2, 0.4, 0.0, 0.0], ["a", "a", "b", "b"])
    assert found.rates["a"].value == pytest.approx(0.3)
    assert found.ratio.value == 0
    assert group_rates([0, 0, 0], ["a", "b", "b"]).ratio is None
    assert mean_by_subject([0, 1, 1], ["x", "x", "y"]).value == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("values", "groups", "options", "message"),
    [
        ([1, 0, 1], ["a", "a", "a"], {}, "two groups at least, but all images are of the group 'a'"),
        ([1, np.nan, 1], ["a", "b", "b"], {}, "values has 1 missing values"),
        ([1, 2, 1], ["a", "b", "b"], {}, r"values must lie in \[0, 1\]"),
        ([1, 0, 1], ["a", "b"], {}, "one value a sample"),
        ([1, 0, 1], ["a", "", None], {}, "groups has 2 missing names in 3"),
        ([1, 0, 1], ["a", float("nan"), "b"], {}, "groups has 1 missing names"),
        ([1, 0, 1], ["a", "b", "b"], {"subjects": ["x", "y"]}, "one value a sample"),
        ([1, 0, 1], ["a", "b", "b"], {"resamples": 0}, "resamples must be at least 1"),
        ([], [], {}, "empty"),
    ],
)
def test_bad_columns_are_named(values, groups, options, message):
    with pytest.raises(ParameterError, match=message):
        group_rates(values, groups, **options)


LABELS = [["face", "hat"], ["slug", "hat"], ["face", "swine"], ["face", "hat"]]
SCORES = [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.5, 0.5]]
LABEL_GROUPS = ["a", "a", "b", "b"]
SETS = {"human": {"face", "people"}, "animal": {"slug", "swine"}}


def test_rates_by_set_and_threshold_by_hand():
    found = label_association(LABELS, LABEL_GROUPS, SETS, scores=SCORES, thresholds=(0, 0.5, 0.6))
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
        (lambda: label_association(LABELS, LABEL_GROUPS, {}), "one set of labels"),
        (
            lambda: label_association(LABELS, LABEL_GROUPS, SETS, thresholds=(2,)),
            r"threshold must lie in \[0, 1\], not 2",
        ),
        (lambda: label_association(LABELS, LABEL_GROUPS, SETS, thresholds=(0.5,)), "a threshold needs scores"),
        (lambda: label_association(LABELS, LABEL_GROUPS, SETS, scores=[[1]] * 4), "one number for each label"),
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


QUERIES = ["F", "M", "F", "M"]
NEAREST = [["F", "M", "F"], ["F", "M", "M"], ["F", "F", "F"], ["F", "F", "F"]]
NEIGHBOUR_GROUPS = ["light", "light", "dark", "dark"]


def test_every_depth_up_to_the_last():
    assert precision_at(QUERIES, NEAREST, 1).tolist() == [1, 0, 1, 0]
    assert precision_at(QUERIES, NEAREST, 3) == pytest.approx([2 / 3, 2 / 3, 1, 0])
    assert list(neighbour_agreement(QUERIES, NEAREST, NEIGHBOUR_GROUPS, depths=(0, 1, 3, 4), resamples=10)) == [1, 3]


def test_options_reach_both_figures():
    options = {"subjects": ["a", "a", "b", "c"], "level": 0.5, "resamples": 20, "seed": 3}
    (found,) = neighbour_agreement(QUERIES, NEAREST, NEIGHBOUR_GROUPS, depths=(3,), least=2, **options).values()
    values = precision_at(QUERIES, NEAREST, 3)
    assert found == (mean_by_subject(values, **options), group_rates(values, NEIGHBOUR_GROUPS, least=2, **options))
    assert found[1].small == ("light",)


@pytest.mark.parametrize(
    ("queries", "nearest", "k", "message"),
    [
        (QUERIES, NEAREST, 0, "k must lie in 1 to 3"),
        (QUERIES, NEAREST, 4, "k must lie in 1 to 3"),
        (QUERIES[:3], NEAREST, 1, r"neighbours must be \[Q, D\] for 3 queries"),
        ([], [[]], 1, r"neighbours must be \[Q, D\] for 0 queries"),
    ],
)
def test_what_does_not_fit_is_refused(queries, nearest, k, message):
    with pytest.raises(ParameterError, match=message):
        precision_at(queries, nearest, k)


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
