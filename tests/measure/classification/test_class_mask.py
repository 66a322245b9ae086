"""Prediction within the classes of a set."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.classification.class_mask import masked_labels, predict_within


def test_the_best_class_of_the_set_by_its_original_number():
    mask = [True, False, True, True]
    assert predict_within([[3.0, 5, 1, 4]], mask).tolist() == [3]
    assert masked_labels([3], mask).tolist() == [2]
    logits = np.random.default_rng(0).normal(size=(20, 4))
    assert np.array_equal(predict_within(logits, [True] * 4), logits.argmax(1))
    within = logits[:, np.flatnonzero(mask)].argmax(1)
    assert np.array_equal(masked_labels(predict_within(logits, mask), mask), within)


@pytest.mark.parametrize(
    ("logits", "mask", "message"),
    [
        ([[1.0, 2]], [False, False], "with 0 true ones does not fit"),
        ([[1.0, 2]], [True], r"a mask of 1 classes with 1 true ones does not fit logits of shape \(1, 2\)"),
        ([[1.0, np.nan]], [True, True], "missing values"),
    ],
)
def test_bad_input(logits, mask, message):
    with pytest.raises(ParameterError, match=message):
        predict_within(logits, mask)
