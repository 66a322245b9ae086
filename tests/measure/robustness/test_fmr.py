"""FMR: figures known by hand, paired intervals, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure import fmr, fmr_difference
from unshaken.measure.robustness.fmr import fmr_ratio

ONES = np.ones(10, bool)


def first(n, of=10):
    return np.arange(of) < n


def test_the_ratio_by_hand():
    assert fmr_ratio(0.8, 0.6) == pytest.approx(0.75)
    assert fmr_ratio(0.7, 0.7) == 1
    assert fmr_ratio(0.5, 0.6) == pytest.approx(1.2)  # reported, not clipped
    for standard, perturbed, message in (
        (0.0, 0.0, "SA is 0"),
        (1.2, 0.5, "must lie"),
        (0.5, float("nan"), "must lie"),
    ):
        with pytest.raises(ParameterError, match=message):
            fmr_ratio(standard, perturbed)


def test_standard_and_perturbed_accuracy_are_of_the_same_images():
    """Eight right of ten; two of those are not validated and unchanged: leaving them out of PA alone would say 6/8."""
    validated = ~(first(2))
    found = fmr(first(8), first(5), validated, validated * 3)
    assert (found.standard.value, found.perturbed.value) == (6 / 8, 3 / 8)
    assert found.fmr.value == pytest.approx(0.5)
    assert (found.validated.value, found.stepped.value) == (0.8, 0.8)
    everything = fmr(first(8), first(5), validated, validated * 3, only_validated=False)
    assert everything.fmr.value == pytest.approx(5 / 8)
    assert (everything.standard.n, found.standard.n) == (10, 8)


def test_validated_and_unperturbed_images_are_told_apart():
    found = fmr(ONES, ONES, ONES, first(4) * 2)
    assert (found.validated.value, found.stepped.value) == (1.0, 0.4)


def test_intervals_hold_the_value_and_narrow_with_samples():
    widths = []
    for n in (40, 4000):
        one = fmr(first(0.8 * n, n), first(0.4 * n, n), np.ones(n), np.ones(n)).fmr
        assert one.low < one.value < one.high
        widths.append(one.high - one.low)
    assert widths[1] < widths[0] / 5


def test_nothing_lost_and_nothing_kept_have_intervals_too():
    same = fmr(first(8), first(8), ONES, ONES).fmr
    none = fmr(first(8), ~ONES, ONES, ONES).fmr
    assert same.value == 1
    assert same.low < 1 < same.high
    assert (none.value, none.low) == (0, 0)
    assert 0.3 < none.high < 0.4  # one less the eighth root of 0.025: 0 of 8 kept


def test_a_difference_is_paired_by_image():
    """Both lose the same images: resampled together no draw differs, and only a missed image may."""
    same = fmr_difference((ONES, ONES), (first(5), first(5)))
    missed = 1 - 0.025 ** (1 / 10)
    assert same.value == 0
    worst = (0.5 * (1 - missed) + missed) / (1 - missed) - 0.5 * (
        1 - missed
    )  # kept by one alone, which was wrong before
    assert same.high == pytest.approx(worst) == -same.low
    better = fmr_difference((ONES, first(8)), (first(2), first(6)))
    assert better.value == pytest.approx(6 / 8 - 2 / 10)
    assert better.low > 0


def test_networks_of_one_kind_are_averaged_by_image():
    two = fmr_difference(([1, 1, 1, 1], [1, 0.5, 1, 1]), ([0.5, 0.5, 0, 0], [1, 0.5, 1, 1]))
    assert two.value == pytest.approx(1 - 0.25)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((first(0), first(0), ONES, ONES), "SA is 0"),
        ((ONES, ONES, ~ONES, ONES * 0), "none of 10 images is validated"),
        ((ONES, ONES, first(3), ONES), "not validated"),
        ((ONES, ONES[:9], ONES, ONES), "lengths"),
        ((ONES, [None] * 10, ONES, ONES), "missing"),
    ],
)
def test_what_has_no_ratio_is_refused(columns, message):
    with pytest.raises(ParameterError, match=message):
        fmr(*columns)


def test_a_difference_refuses_what_is_no_share():
    with pytest.raises(ParameterError, match="perturbed of the candidate must lie in"):
        fmr_difference(([1, 1], [1, 1]), ([1, 1], [1, 2]))
    with pytest.raises(ParameterError, match="SA is 0"):
        fmr_difference(([0, 0], [1, 1]), ([0, 0], [1, 1]))
