"""Distances between sets of features against other people's code, their bias, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import ParameterError
from unshaken.measure import frechet_at_infinity, frechet_distance, kernel_distance
from unshaken.measure.generation.distances import as_features, as_pair


def test_features_become_float64():
    found = as_features("real", [[1, 2]])
    assert (found.dtype, found.tolist()) == (np.float64, [[1.0, 2.0]])
    one, other = as_pair([[1, 2]], np.ones((3, 2), np.float32))
    assert (one.shape, other.shape, other.dtype) == ((1, 2), (3, 2), np.float64)


@pytest.mark.parametrize("values", [[1.0, 2.0], np.ones((2, 2, 2)), np.ones((0, 2)), np.ones((2, 0))])
def test_other_shapes_are_refused(values):
    with pytest.raises(ParameterError, match=r"^real must be features \[N, D\], not of shape"):
        as_features("real", values)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_are_finite_and_of_one_network(value):
    with pytest.raises(ParameterError, match="made: features must be finite"):
        as_pair([[1.0, 2.0]], [[1.0, value]])
    with pytest.raises(ParameterError, match="features have 2 and 3 dimensions"):
        as_pair([[1.0, 2.0]], [[1.0, 2.0, 3.0]])


@pytest.fixture
def features():
    """Two sets of six features, the ones that the figures of the other libraries are for."""
    rng = np.random.default_rng(5)
    real = rng.normal(size=(60, 6))
    made = 0.8 * rng.normal(size=(50, 6)) + 0.3
    made[:, 1] += 0.5 * made[:, 0]
    return real, made


def test_parity_with_torchmetrics_and_torch_fidelity(features):
    """torchmetrics 1.9.0 and torch-fidelity 0.4.0 in float64, on another machine."""
    real, made = features
    assert frechet_distance(real, made) == pytest.approx(1.4455817461337528, rel=1e-9)
    assert kernel_distance(real[:50], made) == pytest.approx(0.49059724344673494, rel=1e-9)


def test_distances_of_gaussians_known_by_hand():
    """Diagonal covariances: `sum (m1 - m2)^2 + (s1 - s2)^2`; a set and itself have none."""
    square = np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])
    own = np.sqrt(4 / 3)  # deviation of each feature, over N - 1
    assert frechet_distance(square, 3 * square + [5, 0]) == pytest.approx(25 + 2 * (2 * own) ** 2)
    assert frechet_distance(square, square) == pytest.approx(0, abs=1e-9)


def test_a_kernel_distance_is_the_sum_over_pairs():
    x, y = np.array([[1.0, 0], [0, 1], [2, 1]]), np.array([[0.0, 0], [1, 1]])

    def k(a, b):
        return (a @ b / 2 + 1) ** 3

    own = [sum(k(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j) for s in (x, y)]
    want = own[0] / 6 + own[1] / 2 - 2 * sum(k(a, b) for a in x for b in y) / 6
    assert kernel_distance(x, y) == pytest.approx(want)


def test_the_bias_falls_as_one_over_n_and_the_kernel_has_none():
    """Both sets come from one distribution: the Frechet distance is above 0, and nearly 0 in the limit."""
    rng = np.random.default_rng(0)
    real, made = rng.normal(size=(4000, 16)), rng.normal(size=(800, 16))
    limit, slope, curve = frechet_at_infinity(real, made)
    assert [n for n, _ in curve] == sorted({n for n, _ in curve})
    assert curve[0][1] > 3 * curve[-1][1] > 0
    assert abs(limit) < curve[-1][1] / 2
    assert slope > 0
    draws = [kernel_distance(rng.normal(size=(40, 4)), rng.normal(size=(40, 4))) for _ in range(200)]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / np.sqrt(200)


@pytest.mark.parametrize(
    ("real", "made", "message"),
    [
        (np.ones((6, 6)), np.ones((9, 6)), "real: 6 samples of 6 dimensions: a Frechet distance needs at least 7"),
        (np.eye(9)[:, :6], np.ones((3, 6)), "made: 3 samples of 6 dimensions"),
        (np.ones((9, 2)), np.ones((9, 3)), "2 and 3 dimensions"),
        (np.ones(9), np.ones((9, 3)), r"real must be features \[N, D\]"),
        (np.full((9, 2), np.nan), np.ones((9, 2)), "real: features must be finite"),
    ],
)
def test_what_has_no_frechet_distance_is_refused_with_the_number(real, made, message):
    with pytest.raises(ParameterError, match=message):
        frechet_distance(real, made)


def test_too_few_samples_elsewhere():
    with pytest.raises(ParameterError, match="two samples a side, not 1 and 2"):
        kernel_distance(np.ones((1, 2)), np.ones((2, 2)))
    with pytest.raises(ParameterError, match="generate 4 or more"):
        frechet_at_infinity(np.eye(4)[:, :2], np.eye(3)[:, :2])


X, Y = np.array([[1.0, 0], [0, 1], [2, 1]]), np.array([[0.0, 0], [1, 1], [3, 1]])


def test_two_samples_a_side_are_enough():
    x, y = X[:2], Y[:2]
    own = ((x[0] @ x[1] / 2 + 1) ** 3, (y[0] @ y[1] / 2 + 1) ** 3)
    across = sum((a @ b / 2 + 1) ** 3 for a in x for b in y) / 4
    assert kernel_distance(x, y) == pytest.approx(sum(own) - 2 * across)
