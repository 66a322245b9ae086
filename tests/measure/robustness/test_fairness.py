"""Gaps between classes by hand, against fairlearn's definition, and intervals against direct simulation."""

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.robustness.fairness import disparity, gap_change, signed_gap

# class 0: 3 of 4, class 1: 1 of 4, class 2: 4 of 4
LABELS = np.repeat([0, 1, 2], 4)
RIGHT = np.array([1, 1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1], bool)


def test_three_classes_by_hand():
    found = disparity(RIGHT, LABELS)
    assert found.gap.value == 0.75
    assert found.deviation.value == pytest.approx(np.sqrt((0.0833333**2 + 0.4166667**2 + 0.3333333**2) / 3), abs=1e-6)
    assert (found.worst.value, found.worst_class, found.best_class) == (0.25, 1, 2)
    assert found.worst.n == 4
    assert {k: f.value for k, f in found.by_class.items()} == {0: 0.75, 1: 0.25, 2: 1.0}
    assert found.gap.low <= 0.75 <= found.gap.high
    shuffled = np.random.default_rng(0).permutation(12)
    assert disparity(RIGHT[shuffled], LABELS[shuffled]) == found


def test_signed_gap_keeps_its_sign():
    assert signed_gap(RIGHT, LABELS, majority=0, minority=1).value == 0.5
    assert signed_gap(RIGHT, LABELS, majority=1, minority=0).value == -0.5
    one, other = (signed_gap(RIGHT, LABELS, majority=a, minority=b) for a, b in ((0, 1), (1, 0)))
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=0.26)  # draws of eighths
    assert one.n == 8


def test_gap_by_chance_is_that_of_equal_classes():
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(10), 100)
    gaps = [np.ptp(rng.binomial(100, 0.8, 10) / 100) for _ in range(4000)]
    right = np.tile(np.arange(100) < 80, 10)
    even = disparity(right, labels)
    assert even.by_chance == pytest.approx(np.mean(gaps), abs=0.003)
    assert even.p_equal == 1
    assert disparity(np.where(labels == 3, 0, right), labels).p_equal < 0.001


def test_the_signed_interval_covers():
    rng, hits = np.random.default_rng(2), 0
    labels = np.repeat([0, 1], 200)
    for _ in range(200):
        right = rng.random(400) < np.where(labels == 0, 0.9, 0.7)
        figure = signed_gap(right, labels, majority=0, minority=1)
        hits += figure.low <= 0.2 <= figure.high
    assert 180 <= hits <= 199


def test_change_between_two_models_is_paired():
    after = np.array([1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0], bool)  # 1, .25, .75
    assert gap_change(RIGHT, after, LABELS).value == 0  # .75 to .75
    assert gap_change(RIGHT, after, LABELS, majority=0, minority=1).value == 0.25
    same = gap_change(RIGHT, RIGHT, LABELS, majority=0, minority=1)
    assert same.low < same.value == 0 < same.high  # four samples of each class do not show that no other differs
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 500)
    before = rng.random(1000) < 0.8
    few = before.copy()
    few[np.flatnonzero((labels == 1) & before)[:5]] = False  # one model nearly like the other: a narrow interval
    figure = gap_change(before, few, labels, majority=0, minority=1)
    assert figure.value == pytest.approx(0.01)
    assert figure.high - figure.low < 0.02
    alone = signed_gap(before, labels, majority=0, minority=1)
    assert alone.high - alone.low > 0.08


def test_bad_input():
    with pytest.raises(ParameterError, match="two classes at least, but all labels are 1"):
        disparity([1, 0], [1, 1])
    with pytest.raises(ParameterError, match="class 7 has no sample; there are"):
        signed_gap(RIGHT, LABELS, majority=0, minority=7)
    with pytest.raises(ParameterError, match="together, or neither"):
        gap_change(RIGHT, RIGHT, LABELS, majority=0)
    with pytest.raises(ParameterError, match="needs two classes, not"):
        gap_change(RIGHT, RIGHT, LABELS, majority=0, minority=0)
    with pytest.raises(ParameterError, match="lengths are"):
        gap_change(RIGHT, RIGHT[:3], LABELS)
    with pytest.raises(ParameterError, match="resamples"):
        disparity(RIGHT, LABELS, resamples=0)
