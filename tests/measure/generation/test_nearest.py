"""Copies among generated images: found when planted, and not where images are only alike."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure import find_leakage


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
