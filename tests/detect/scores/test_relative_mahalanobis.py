"""Relative distances of the hand-made cross, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance
from torch import Tensor

from unshaken.core.errors import ParameterError
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.fit_data import FitData, Moments
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.relative_mahalanobis import RelativeMahalanobis

CROSS = torch.tensor([[1.0, 0], [-1, 0], [0, 2], [0, -2]])


def scored(anatomy: Anatomy, features: Tensor, labels: Tensor, queries: Tensor, shrinkage: float = 0.0) -> Tensor:
    sums = Moments(2)
    sums.add(features, labels)
    method = RelativeMahalanobis(shrinkage=shrinkage)
    bank = method.fit(FitData(anatomy, {"head:in": sums}))
    return method.score(ForwardPass(anatomy, torch.zeros(len(queries), 2), {"head:in": queries}), bank)


def test_the_cross(anatomy):
    features = torch.cat([CROSS, CROSS + torch.tensor([4.0, 0])])
    points = torch.tensor([[0.0, 0], [2, 0], [4, 4], [1, 1]])
    found = scored(anatomy, features, torch.tensor([0] * 4 + [1] * 4), points)
    assert found.tolist() == pytest.approx([-0.8889, 8, -0.8889, 1.7778], abs=5e-5)


def test_full_shrinkage_leaves_euclidean_distances_over_the_mean_variances(anatomy):
    """The classes' variances are 0.5 and 2, the background's 4.5 and 2: means 1.25 and 3.25."""
    features = torch.cat([CROSS, CROSS + torch.tensor([4.0, 0])])
    points = torch.tensor([[0.0, 0], [2, 0], [4, 4]])
    found = scored(anatomy, features, torch.tensor([0] * 4 + [1] * 4), points, 1.0)
    expected = [0 / 1.25 - 4 / 3.25, 4 / 1.25 - 0 / 3.25, 16 / 1.25 - 20 / 3.25]
    assert found.tolist() == pytest.approx(expected, abs=1e-9)


def test_agrees_with_two_empirical_covariances_without_full_rank(anatomy):
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(80) % 2
    features = torch.randn(80, 4, generator=rng, dtype=torch.float64) + labels[:, None]
    features = torch.cat([features, features[:, :2] * 3, torch.full((80, 1), 5.0)], 1)
    means = torch.stack([features[labels == c].mean(0) for c in range(2)])
    within = EmpiricalCovariance(assume_centered=True).fit((features - means[labels]).numpy())
    away = (features[:, None] - means).numpy()
    classes = np.einsum("nki,ij,nkj->nk", away, within.precision_, away).min(1)
    whole = EmpiricalCovariance().fit(features.numpy()).mahalanobis(features.numpy())
    assert scored(anatomy, features, labels, features).numpy() == pytest.approx(classes - whole, abs=1e-6)


def test_one_layer_only(anatomy):
    with pytest.raises(ParameterError, match="name one"):
        RelativeMahalanobis(layer="stages").layers(anatomy)
