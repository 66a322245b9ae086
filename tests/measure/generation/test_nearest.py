"""Copies among generated images: found when planted, and not where images are only alike."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure import find_leakage, precision_recall


def test_planted_copies_are_found_and_nothing_else():
    rng = np.random.default_rng(0)
    held_out, made = rng.random((300, 64)), rng.random((200, 64))
    made[7], made[100] = held_out[42], held_out[3] + 0.02 * rng.normal(size=64)
    found = find_leakage(held_out, made)
    assert np.flatnonzero(found.copied).tolist() == [7, 100]
    assert found.nearest[[7, 100]].tolist() == [42, 3]
    assert (found.distance[7], found.ratio[7]) == (0, 0)
    assert found.distance[100] == pytest.approx(0.02, rel=0.4)


def test_the_ratio_by_hand():
    """Nearest at 1, the next at 3: `1 / (0.5 x 2)`; held-out images themselves have 1, 0.8 and 12/7."""
    found = find_leakage([[1.0], [3], [-5]], [[0.0]])
    assert (found.distance.tolist(), found.ratio.tolist()) == ([1.0], [pytest.approx(1)])
    assert found.threshold == pytest.approx(0.8 + 0.02 * 0.2)
    assert found.copied.tolist() == [False]
    assert find_leakage([[1.0], [3], [-5]], [[0.9]]).copied.tolist() == [True]


def test_a_set_of_equal_images_leaks_whatever_equals_them():
    assert find_leakage(np.ones((3, 2)), np.ones((2, 2))).copied.all()


def test_two_neighbours_and_a_share_of_one_are_allowed():
    """Nearest at 1, the next at 3, a third at 5, which is no neighbour: `1 / (1 x 2)`."""
    found = find_leakage([[1.0], [3], [-5]], [[0.0]], neighbours=2, alpha=1.0)
    assert found.ratio.tolist() == [pytest.approx(0.5)]


@pytest.mark.parametrize(
    ("held_out", "options", "message"),
    [
        (np.ones((1, 2)), {}, "1 held-out images"),
        (np.ones((3, 2)), {"alpha": 0.0}, "alpha=0 in"),
        (np.ones((3, 2)), {"neighbours": 1}, "neighbours=1 must be 2 or more"),
        (np.ones((3, 4)), {}, "4 and 2 dimensions"),
    ],
)
def test_bad_input(held_out, options, message):
    with pytest.raises(ParameterError, match=message):
        find_leakage(held_out, np.ones((2, 2)), **options)


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
