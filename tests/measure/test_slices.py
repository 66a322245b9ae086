"""Slices: parts by hand, figures against the functions they are made of, and the search on planted slices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import fisher_exact

from unshaken.core.errors import ParameterError
from unshaken.measure.calibration.calibration import calibration_error
from unshaken.measure.detection.selective import aurc
from unshaken.measure.slice_confidence import slice_confidence
from unshaken.measure.slices import Slicing, cross_slices, cut_column, find_weak_slices, slice_figures
from unshaken.measure.statistics.intervals import clopper_pearson
from unshaken.measure.statistics.paired import share_difference


def test_words_numbers_and_borders():
    words = cut_column("weather", ["night", None, "day", "night"])
    assert (words.parts, words.codes.tolist()) == (("day", "night"), [1, -1, 0, 1])
    cameras = cut_column("camera", [3, 1, 3, None])
    assert (cameras.parts, cameras.codes.tolist()) == (("1", "3"), [1, 0, 1, -1])
    edges = cut_column("size", [1, 2, float("nan"), 9], [2, 5])
    assert (edges.parts, edges.codes.tolist()) == (("below 2", "2 to 5", "5 and above"), [0, 1, -1, 2])
    quarters = cut_column("brightness", [i + 0.5 for i in range(8)])
    assert quarters.codes.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert quarters.parts[0] == "below 2.25"
    constant = cut_column("aspect", [1.5] * 4)
    assert (constant.parts, constant.codes.tolist()) == (("all",), [0] * 4)
    near = cut_column("x", [1.0, 2.0], [1.00001, 1.00002])
    assert near.parts == ("below 1.00001", "1.00001 to 1.00002", "1.00002 and above")
    assert cut_column("indoor", [True, False]).parts == ("False", "True")


@pytest.mark.parametrize(
    ("values", "borders", "message"),
    [
        ([None, float("nan")], (), "no sample has a value"),
        (["a", 1], (), "mixes numbers and words"),
        (["a", "b"], (1,), "borders do not cut"),
        ([1.0, 2.0], (2, 1), "must be finite and rise"),
        ([f"w{i}" for i in range(201)], (), "201 different values"),
    ],
)
def test_bad_columns_are_refused(values, borders, message):
    with pytest.raises(ParameterError, match=message):
        cut_column("x", values, borders)


def test_two_columns_cross():
    crossed = cross_slices(cut_column("a", ["x", "y", "y", None]), cut_column("b", ["u", "u", "v", "v"]))
    assert crossed.name == "a*b"
    assert (crossed.parts, crossed.codes.tolist()) == (("x*u", "y*u", "y*v"), [0, 1, 2, -1])


def test_figures_are_simultaneous_and_paired():
    right = np.array([[1, 0], [1, 1], [1, 0], [0, 1], [-1, 1], [1, -1]], np.int8)
    slicing = Slicing("weather", ("day", "night"), np.array([0, 0, 0, 1, 1, 1]))
    found = {(f.part, f.condition): f for f in slice_figures(right, [slicing])}
    assert {k: (f.accuracy.value, f.accuracy.n) for k, f in found.items()} == {
        ("day", 0): (1.0, 3), ("day", 1): (1 / 3, 3), ("night", 0): (0.5, 2), ("night", 1): (1.0, 2),
    }  # fmt: skip
    low, high = (float(end) for end in clopper_pearson(1, 3, level=1 - 0.05 / 4))
    assert (found["day", 1].accuracy.low, found["day", 1].accuracy.high) == pytest.approx((low, high))
    assert found["day", 0].drop is None
    assert found["day", 1].drop == share_difference(2, 0, 3, level=1 - 0.05 / 2)
    assert found["night", 1].drop == share_difference(0, 1, 1, level=1 - 0.05 / 2)  # one has both outcomes


def test_confidence_is_that_of_the_samples_of_each_slice():
    rng = np.random.default_rng(0)
    conf, codes, terms = rng.uniform(0.4, 1, 400), rng.integers(-1, 2, 400), rng.random(400)
    right = rng.random(400) < np.where(codes == 1, conf - 0.35, conf)  # too sure in the second slice
    terms[codes == 0] = math.nan
    first, second = slice_confidence(conf, right, terms, [Slicing("c", ("a", "b", "none"), codes)])
    rows = codes == 1
    assert (first.part, second.part, first.brier) == ("a", "b", None)
    for one, own in ((first, codes == 0), (second, rows)):
        alone = calibration_error(conf[own], right[own], resamples=1000)
        assert (one.ece, one.signed_gap) == (alone.ece, alone.signed_gap)
        assert one.aurc == aurc(-conf[own], right[own])
        surest = right[own][np.argsort(-conf[own])][: math.ceil(0.8 * own.sum())]
        assert one.accuracy_at_80.value == pytest.approx(surest.mean())
        assert one.accuracy_at_80.low <= one.accuracy_at_80.value <= one.accuracy_at_80.high
    assert second.p_value == pytest.approx(2 / 1001)  # the least of 1000 draws, of two slices
    assert first.p_value == calibration_error(conf[codes == 0], right[codes == 0]).p_calibrated > 0.05
    assert second.brier.value == pytest.approx(terms[rows].mean())


def test_the_least_p_value_can_be_below_a_half_tenth_whatever_the_number_of_slices():
    codes = np.repeat(np.arange(60), 6)
    found = slice_confidence(np.full(360, 0.99), codes > 0, np.zeros(360), [Slicing("c", ("x",) * 60, codes)])
    assert found[0].p_value < 0.05 < found[1].p_value


def test_bad_confidence_is_refused():
    whole = Slicing("c", ("a",), np.zeros(2, np.int64))
    assert slice_confidence([0.5, 0.6], [1, 0], [0, 0], []) == []
    with pytest.raises(ParameterError, match="confidence"):
        slice_confidence([0.5, 1.5], [1, 0], [0, 0], [whole])
    with pytest.raises(ParameterError, match="brier_terms"):
        slice_confidence([0.5, 0.6], [1, 0], [0], [whole])


def planted(seed: int, drop: float, n: int = 1200) -> tuple[np.ndarray, list[Slicing], np.ndarray]:
    rng = np.random.default_rng(seed)
    slicings = [Slicing(f"c{i}", tuple("pqr"), rng.integers(0, 3, n)) for i in range(5)]
    weak = (slicings[1].codes == 2) & (slicings[3].codes == 0)
    return rng.random(n) < np.where(weak, 0.9 - drop, 0.9), slicings, rng.random(n) < 0.5


def test_planted_slice_of_two_columns_is_found_and_confirmed():
    right, slicings, first = planted(0, 0.5)
    found = find_weak_slices(right, slicings, first)
    best = found[0]
    assert best.parts == (("c1", "r"), ("c3", "p"))
    assert best.confirmed
    assert best.gap.high < 0
    second, own = ~first, best.rows
    table = [[(right & second & own).sum(), (~right & second & own).sum()],
             [(right & second & ~own).sum(), (~right & second & ~own).sum()]]  # fmt: skip
    assert best.p_value == pytest.approx(min(1, fisher_exact(table, "less")[1] * len(found)), rel=1e-9)
    assert best.accuracy.n == (second & own).sum()


def test_nothing_is_confirmed_more_often_than_stated():
    false = sum(any(w.confirmed for w in find_weak_slices(*planted(seed, 0.0, 300))) for seed in range(12))
    assert false <= 3  # of 12 at 0.05: more has a chance of 0.002


def test_result_does_not_depend_on_the_order_of_samples():
    right, slicings, first = planted(3, 0.4, 600)
    order = np.random.default_rng(1).permutation(600)
    moved = [Slicing(s.name, s.parts, s.codes[order]) for s in slicings]
    a, b = find_weak_slices(right, slicings, first), find_weak_slices(right[order], moved, first[order])
    assert [(w.parts, w.gap, w.p_value) for w in a] == [(w.parts, w.gap, w.p_value) for w in b]


def test_too_few_samples_are_refused():
    right, slicings, first = planted(0, 0.5, 60)
    with pytest.raises(ParameterError, match="each half must hold 40"):
        find_weak_slices(right, slicings, first)
