"""Rates by group by hand, intervals by subject against simulation, small groups, and bad columns."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.fairness.group_rates import group_rates, mean_by_subject

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
