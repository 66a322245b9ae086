"""Unit length, signed power and whitening: identities that they must keep."""

from __future__ import annotations

import numpy as np
import pytest

from unshaken.core.errors import DataError, ParameterError
from unshaken.tasks.features.transforms import fit_whitening, signed_power, unit

X = np.random.default_rng(0).normal(size=(50, 6)) * np.arange(1, 7)


def test_unit_vectors_rank_alike_by_distance_and_cosine():
    u = unit(X)
    np.testing.assert_allclose(np.linalg.norm(u, axis=1), 1)
    squared, cosine = ((u[:, None] - u) ** 2).sum(2), u @ u.T
    np.testing.assert_allclose(squared, 2 - 2 * cosine, atol=1e-12)
    assert (unit(np.zeros((1, 3))) == 0).all()


def test_signed_power():
    np.testing.assert_allclose(signed_power(np.array([-0.5, 0.2])), [-0.25, 0.04])
    np.testing.assert_array_equal(signed_power(X, 1), X)
    np.testing.assert_array_equal(signed_power(-X), -signed_power(X))
    np.testing.assert_allclose(signed_power(signed_power(X), 0.5), X)
    with pytest.raises(ParameterError, match="exponent"):
        signed_power(X, 0)


@pytest.mark.parametrize("dimensions", [6, 3])
def test_whitened_features_have_the_identity_as_covariance(dimensions):
    white = fit_whitening(X, dimensions)(X)
    np.testing.assert_allclose(np.cov(white.T), np.eye(dimensions), atol=1e-10)


def test_it_is_scikit_learns():
    decomposition = pytest.importorskip("sklearn.decomposition")
    other = decomposition.PCA(4, whiten=True, svd_solver="full").fit_transform(X)
    np.testing.assert_allclose(np.abs(fit_whitening(X, 4)(X)), np.abs(other), atol=1e-9)


def test_small_variances_are_not_blown_up():
    flat = X.copy()
    flat[:, 0] = 1e-9 * X[:, 0]
    assert fit_whitening(flat, 6)(flat).std(0)[-1] < 0.01


def test_the_pipeline_of_retrieval_ends_with_the_power():
    found = fit_whitening(unit(X), 4).for_retrieval(X)
    np.testing.assert_allclose(np.abs(found).sum(1), 1)  # squares of a unit vector


@pytest.mark.parametrize(
    ("features", "dimensions", "error"),
    [
        (X[:1], 3, DataError),
        (np.ones((5, 3)), 3, DataError),
        (X, 0, ParameterError),
        (X[0], 1, DataError),
        (np.full((5, 3), np.nan), 1, DataError),
    ],
)
def test_what_cannot_be_whitened_is_refused(features, dimensions, error):
    with pytest.raises(error):
        fit_whitening(features, dimensions)
