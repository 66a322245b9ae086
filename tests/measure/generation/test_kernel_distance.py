"""The kernel distance over parts, by parts whose distance is known."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure import kernel_distance, kernel_distance_by_parts

X, Y = np.array([[1.0, 0], [0, 1], [2, 1]]), np.array([[0.0, 0], [1, 1], [3, 1]])


def test_parts_that_hold_everything_are_the_whole():
    mean, deviation = kernel_distance_by_parts(X, Y, parts=4, size=9)
    assert mean == pytest.approx(kernel_distance(X, Y))
    assert deviation == pytest.approx(0, abs=1e-9)


def test_parts_are_of_the_size_asked_for_and_of_both_sides():
    """Pairs of three: nine distances, whose mean and deviation many draws come near to."""
    pairs = [[0, 1], [0, 2], [1, 2]]
    every = [kernel_distance(X[a], Y[b]) for a in pairs for b in pairs]
    mean, deviation = kernel_distance_by_parts(X, Y, parts=2000, size=2)
    assert mean == pytest.approx(np.mean(every), abs=4 * np.std(every) / np.sqrt(2000))
    assert deviation == pytest.approx(np.std(every), rel=0.1)
    assert kernel_distance_by_parts(X, Y, parts=1, size=2)[0] in [pytest.approx(e) for e in every]
    draws = {kernel_distance_by_parts(X, Y, parts=1, size=2, seed=s)[0] for s in range(9)}
    assert len(draws) > 1


def test_two_samples_a_side_are_enough():
    x, y = X[:2], Y[:2]
    own = ((x[0] @ x[1] / 2 + 1) ** 3, (y[0] @ y[1] / 2 + 1) ** 3)
    across = sum((a @ b / 2 + 1) ** 3 for a in x for b in y) / 4
    assert kernel_distance(x, y) == pytest.approx(sum(own) - 2 * across)


@pytest.mark.parametrize("options", [{"parts": 0}, {"size": 1}])
def test_too_few_are_refused(options):
    with pytest.raises(ParameterError, match="must be 1 or more, size="):
        kernel_distance_by_parts(X, Y, **options)
