"""Macro F1 by hand, beside scikit-learn, and the drop that a change costs."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from unshaken.core.errors import ParameterError
from unshaken.measure.classification.class_means import (
    eleven_point_precision,
    f1_columns,
    interaction,
    macro_f1,
    mean_class_accuracy,
    paired_f1,
)

LABELS = [0, 0, 0, 1, 1, 2]
CLEAN, CHANGED = [0, 0, 1, 1, 1, 2], [0, 1, 1, 1, 0, 2]


def test_the_published_case():
    found = paired_f1(LABELS, CLEAN, CHANGED)
    assert found.clean.value == pytest.approx(np.mean([0.8, 0.8, 1]))
    assert found.changed.value == pytest.approx(np.mean([0.4, 0.4, 1]))
    assert found.drop.value == pytest.approx(4 / 13)  # 30.769 %
    assert found.clean.value - found.changed.value == pytest.approx(0.26667, abs=1e-5)
    right = found.comparison.both_right + found.comparison.lost
    assert (right / 6, (right - found.comparison.lost) / 6) == (pytest.approx(0.8333, abs=1e-4), 0.5)


def test_equal_to_scikit_learn_with_classes_that_do_not_occur():
    rng = np.random.default_rng(0)
    for k in (2, 5, 9):
        labels, guesses = rng.integers(0, k, 40), rng.integers(0, k, 40)
        labels[labels == 1] = guesses[guesses == 1] = 0
        figure = macro_f1(labels, guesses, classes=k + 3)
        assert figure.value == pytest.approx(f1_score(labels, guesses, average="macro"))
        assert figure.low <= figure.value <= figure.high


def test_nothing_changed_drops_by_nothing_and_nothing_right_has_no_drop():
    same = paired_f1(LABELS, CLEAN, CLEAN)
    assert same.drop.value == 0
    assert same.drop.low < -0.1  # a sample that only the first or only the second has right may have been missed
    assert same.drop.high > 0.1
    assert paired_f1([0, 0], [1, 1], [0, 0]).drop is None


def test_damages_that_add_up_have_no_interaction():
    """Of four classes, the first change breaks one and the second another; both together break both."""
    labels = np.repeat(np.arange(4), 5)
    predictions = [np.where(np.isin(labels, broken), -1, labels) for broken in ([], [0], [1], [0, 1])]
    columns = np.concatenate([f1_columns(labels, p, 4) for p in predictions], 1)
    assert interaction(columns.mean(0)) == pytest.approx(0)
    again = np.concatenate([f1_columns(labels, predictions[i], 4) for i in (0, 1, 1, 1)], 1)
    assert interaction(again.mean(0)) == pytest.approx(0.25)  # the second leaves nothing new to break


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [0.5, 1], []])
def test_labels_that_are_no_classes_are_refused(labels):
    with pytest.raises(ParameterError):
        f1_columns(labels, [0, 1][: len(labels)], 3)


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
