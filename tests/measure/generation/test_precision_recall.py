"""Precision and recall on a line, where the balls are seen at once."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure import precision_recall


def test_balls_on_a_line():
    """Real 0, 1, 2, 10 have radii 1, 1, 1, 8; made 0.5, 5, 30 have radii 4.5, 4.5, 25."""
    real, made = np.array([[0.0], [1], [2], [10]]), np.array([[0.5], [5], [30]])
    found = precision_recall(real, made, k=1)
    assert (found.precision.value, found.precision.n) == (pytest.approx(2 / 3), 3)  # 30 is in no ball
    assert (found.recall.value, found.recall.n) == (1.0, 4)  # 10 is within 25 of 30
    assert found.precision.low < 2 / 3 < found.precision.high


def test_a_generator_of_one_image_has_precision_and_no_recall():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(100, 3))
    found = precision_recall(real, real[:1] + 1e-3 * rng.normal(size=(50, 3)))
    assert (found.precision.value, found.recall.value) == (1.0, pytest.approx(0, abs=0.02))
    same = precision_recall(real, real)
    assert (same.precision.value, same.recall.value) == (1.0, 1.0)


@pytest.mark.parametrize("k", [0, 3])
def test_k_is_below_the_number_of_images(k):
    with pytest.raises(ParameterError, match=f"k={k} must be 1 or more and below the number of images, 3"):
        precision_recall(np.ones((5, 2)), np.ones((3, 2)), k=k)
