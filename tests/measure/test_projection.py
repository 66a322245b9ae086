"""Principal axes against numpy's singular values of all vectors at once, in pieces of any size."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure.projection import MOST_NUMBERS, PrincipalAxes, RunningCovariance


def axes_of(vectors, pieces, count=3):
    sums = RunningCovariance(vectors.shape[1])
    for piece in np.array_split(vectors, pieces):
        sums.add(piece)
    return PrincipalAxes.of(sums, count)


@pytest.mark.parametrize("pieces", [1, 4, 60])
def test_axes_are_the_singular_vectors_however_the_vectors_are_cut(pieces):
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(50, 6)) * [9, 5, 3, 1, 1, 1]) @ rng.normal(size=(6, 6)) + 1e4  # far from 0
    found = axes_of(vectors, pieces)
    _, values, right = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    assert np.abs(np.sum(found.axes * right[:3], 1)) == pytest.approx(np.ones(3), abs=1e-9)
    assert found.shares == pytest.approx(values[:3] ** 2 / np.sum(values**2))
    assert all(axis[np.abs(axis).argmax()] > 0 for axis in found.axes)
    assert found.project(vectors).std(0, ddof=1) == pytest.approx(values[:3] / 7)


def test_a_line_by_hand_and_vectors_that_do_not_vary():
    found = axes_of(np.array([[0.0, 0], [-3, -4], [3, 4]]), 2, count=1)
    assert found.axes == pytest.approx(np.array([[0.6, 0.8]]))
    assert found.shares == pytest.approx([1])
    assert found.project(np.array([[3.0, 4]])) == pytest.approx(np.array([[5.0]]))
    assert axes_of(np.ones((4, 2)), 1).shares.tolist() == [0, 0]


def test_too_few_and_too_long_vectors_are_refused():
    with pytest.raises(ParameterError, match="1 vectors have no covariance"):
        axes_of(np.ones((1, 2)), 1)
    with pytest.raises(ParameterError, match="vectors of 4,097 numbers"):
        RunningCovariance(MOST_NUMBERS + 1)
