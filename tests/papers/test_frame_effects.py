"""Effects made from figures, against what is known by hand."""

import pytest

from unshaken.measure import over_seeds
from unshaken.papers import decide, decide_near
from unshaken.papers.effects import across_seeds, complement, mean_over, negated, scaled, unpaired, values_of

DIFFERENCE = {"value": 0.25, "low": -0.5, "high": None, "n": 3, "interval": "by hand"}
SHARE = {"value": 0.25, "low": 0.125, "high": 0.5, "n": 8, "interval": "by hand"}


def test_the_other_sign_swaps_the_ends():
    found = negated(DIFFERENCE)
    assert found == {**DIFFERENCE, "value": -0.25, "low": None, "high": 0.5}
    assert negated(found) == DIFFERENCE


def test_what_a_share_leaves_of_one_swaps_the_ends():
    assert complement(SHARE) == {**SHARE, "value": 0.75, "low": 0.5, "high": 0.875}
    assert scaled(SHARE, 0.5) == {**SHARE, "value": 0.125, "low": 0.0625, "high": 0.25}


def test_a_mean_over_seeds_passes_on_what_is_given():
    seeds = [{"a": 0.25, "b": 0.5}, {"a": 0.5, "b": 0.25}, {"a": 0.75, "b": 0.75}]
    found = mean_over(seeds, lambda seed, one, other: seed[one] - seed[other], "a", "b", high=2.0)
    assert found == over_seeds([-0.25, 0.25, 0.0], low=-1.0, high=2.0).to_json()
    alone = {"value": 0.25, "low": None, "high": None}
    assert mean_over(seeds[:1], lambda seed: seed["a"]) == alone


def test_values_of_seeds_are_columns():
    seeds = [{"net": {"pgd": {"value": 0.5}, "epoch": 3}}, {"net": {"pgd": {"value": 0.25}, "epoch": 4}}]
    assert values_of(seeds, "net", "pgd").tolist() == [0.5, 0.25]
    assert (values_of(seeds, "net", "epoch") - 1).tolist() == [2, 3]
    with pytest.raises(KeyError, match="fgsm"):
        values_of(seeds, "net", "fgsm")


@pytest.mark.parametrize("kind", [list, lambda gains: values_of([{"gain": g} for g in gains], "gain")])
def test_a_difference_by_seed_is_judged_by_its_mean(kind):
    gains = [0.1, 0.11, 0.12]
    check = decide("gain", "gain", kind(gains), above=0.05)
    assert check == decide("gain", "gain", across_seeds(gains), above=0.05)
    assert check.holds is True


def test_an_end_that_an_interval_does_not_have_stays_none():
    open_above = {"value": 0.5, "low": 0.25, "high": None}
    assert unpaired(open_above, SHARE) == {"value": 0.25, "low": -0.25, "high": None}
    assert unpaired(SHARE, open_above) == {"value": -0.25, "low": None, "high": 0.25}
    assert complement(open_above) == {"value": 0.5, "low": None, "high": 0.75}
    assert scaled(open_above, 2.0) == {"value": 1.0, "low": 0.5, "high": None}


@pytest.mark.parametrize("figure", [{"value": 0.5, "low": 0.5, "high": None}, {"value": 0.5, "low": None, "high": 0.5}])
def test_an_interval_without_an_end_neither_shows_nor_contradicts_a_law(figure):
    near = decide_near("law", "rate", figure, 0.5, 0.25)
    assert (near.holds, near.opposed) == (False, False)
    assert decide_near("law", "rate", figure, 0.6 if figure["low"] is None else 0.4, 0.05).holds is False
