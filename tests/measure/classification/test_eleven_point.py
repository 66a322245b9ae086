"""Eleven-point precision and mean class accuracy by hand."""

from __future__ import annotations

import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.classification.eleven_point import eleven_point_precision
from unshaken.measure.classification.mean_class_accuracy import mean_class_accuracy


def test_the_worked_ranking():
    """Precision is 1 up to recall 0.5 (six recalls), then 2/3."""
    assert eleven_point_precision([4, 3, 2, 1], [1, 0, 1, 0]) == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert eleven_point_precision([4, 3, 2, 1], [1, 1, 0, 0]) == 1


def test_equal_scores_come_in_together_whatever_their_order():
    for relevant in ([1, 0, 0, 0], [0, 1, 0, 0]):
        assert eleven_point_precision([2, 2, 1, 1], relevant) == 0.5


def test_nothing_relevant_has_no_precision():
    with pytest.raises(ParameterError, match="no sample is relevant"):
        eleven_point_precision([1, 2], [0, 0])


def test_classes_count_equally():
    labels = [0] * 90 + [1] * 10
    said = [0] * 90 + [1] * 5 + [0] * 5
    assert sum(a == b for a, b in zip(labels, said, strict=True)) == 95
    assert mean_class_accuracy(labels, said) == 0.75
    with pytest.raises(ParameterError, match="lengths"):
        mean_class_accuracy(labels, said[1:])
