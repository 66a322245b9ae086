"""Gaussians of features against hand-made numbers, identities, scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.covariance import EmpiricalCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import Tensor

from unshaken.detect.engine.fit_data import Moments
from unshaken.detect.scores._gaussian import eigen, ledoit_wolf, squared_distances, whitening
from unshaken.detect.scores.mahalanobis import class_gaussian

CROSS = torch.tensor([[1.0, 0], [-1, 0], [0, 2], [0, -2]])
FEATURES = torch.cat([CROSS, CROSS + torch.tensor([4.0, 0])])
LABELS = torch.tensor([0] * 4 + [1] * 4)
POINTS = torch.tensor([[0.0, 0], [2, 0], [4, 4], [1, 1]])


def moments(features: Tensor, labels: Tensor, classes: int = 2) -> Moments:
    found = Moments(classes)
    for part in torch.arange(len(features)).split(3):
        found.add(features[part], labels[part])
    return found


def clouds(n: int, d: int, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=rng, dtype=torch.float64)
    labels = torch.arange(n) % classes
    means = 3 * torch.randn(classes, d, generator=rng, dtype=torch.float64)
    return torch.randn(n, d, generator=rng, dtype=torch.float64) @ mix + means[labels], labels


def test_posterior_of_the_linear_head_made_of_the_gaussians():
    bank = class_gaussian(moments(FEATURES, LABELS))
    distances = squared_distances(POINTS, bank["whiten"], bank["origin"], bank["centres"])
    mu, precision = torch.tensor([[0.0, 0], [4, 0]]).double(), torch.diag(torch.tensor([2.0, 0.5])).double()
    logits = POINTS.double() @ (mu @ precision).T - 0.5 * (mu @ precision * mu).sum(1)
    posterior = torch.softmax(-0.5 * distances, 1)
    assert posterior.numpy() == pytest.approx(logits.softmax(1).numpy(), abs=1e-14)
    assert posterior[3].tolist() == pytest.approx([0.999665, 0.000335], abs=5e-7)


def test_invariant_under_invertible_affine_maps():
    features, labels = clouds(90, 5)
    mix = torch.randn(5, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    moved = features @ mix + 7
    one, two = (class_gaussian(moments(f, labels, 3)) for f in (features, moved))
    a = squared_distances(features, one["whiten"], one["origin"], one["centres"])
    b = squared_distances(moved, two["whiten"], two["origin"], two["centres"])
    assert a.numpy() == pytest.approx(b.numpy(), rel=1e-7)


def test_identity_covariance_gives_euclidean_distances():
    features, centres = clouds(20, 4)[0], clouds(3, 4, seed=5)[0]
    found = squared_distances(features, torch.eye(4).double(), torch.zeros(4).double(), centres)
    assert found.numpy() == pytest.approx(torch.cdist(features, centres).square().numpy(), rel=1e-9)


@pytest.mark.parametrize("dead", [0, 3])
def test_mean_distance_to_the_own_class_is_the_rank(dead):
    features, labels = clouds(200, 6)
    features = torch.cat([features, torch.full((200, dead), 0.7, dtype=torch.float64), features[:, :1]], 1)
    bank = class_gaussian(moments(features, labels, 3))
    distances = squared_distances(features, bank["whiten"], bank["origin"], bank["centres"])
    assert len(bank["whiten"]) == 6
    assert distances.gather(1, labels[:, None]).mean().item() == pytest.approx(6, abs=1e-6)


def test_agrees_with_empirical_covariance_and_its_pseudo_inverse():
    features, labels = clouds(150, 5)
    features = torch.cat([features, features @ torch.ones(5, 1, dtype=torch.float64)], 1)  # rank 5 of 6
    means = torch.stack([features[labels == c].mean(0) for c in range(3)])
    reference = EmpiricalCovariance(assume_centered=True).fit((features - means[labels]).numpy())
    bank = class_gaussian(moments(features, labels, 3))
    found = squared_distances(features, bank["whiten"], bank["origin"], bank["centres"])
    away = (features[:, None] - means).numpy()
    assert found.numpy() == pytest.approx(np.einsum("nki,ij,nkj->nk", away, reference.precision_, away), rel=1e-6)


def test_the_nearest_mean_is_the_class_of_linear_discriminant_analysis():
    features, labels = clouds(240, 4, classes=4)
    reference = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.25] * 4).fit(features.numpy(), labels.numpy())
    bank = class_gaussian(moments(features, labels, 4))
    grid = 6 * torch.randn(500, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = squared_distances(grid, bank["whiten"], bank["origin"], bank["centres"]).argmin(1)
    assert found.numpy().tolist() == reference.predict(grid.numpy()).tolist()


def test_distances_to_the_true_class_are_chi_squared():
    features, labels = clouds(20_000, 5)
    bank = class_gaussian(moments(features[:10_000], labels[:10_000], 3))
    own = squared_distances(features[10_000:], bank["whiten"], bank["origin"], bank["centres"])
    own = own.gather(1, labels[10_000:, None])[:, 0]
    assert stats.kstest(own.numpy(), stats.chi2(5).cdf).pvalue > 0.01


def test_total_covariance_is_within_and_between():
    features, labels = clouds(120, 4)
    sums = moments(features, labels, 3)
    away = sums.means() - sums.mean()
    between = (away * (sums.counts / sums.n)[:, None]).T @ away
    assert sums.covariance().numpy() == pytest.approx((sums.within() + between).numpy(), rel=1e-9)
    assert torch.linalg.eigvalsh(sums.within()).min() > 0


def test_a_new_class_with_the_shared_covariance_changes_nothing_of_it():
    features, labels = clouds(80, 3, classes=2)
    new = features[labels == 0] - features[labels == 0].mean(0)
    target = moments(features, labels).within()
    values, vectors = torch.linalg.eigh(target)
    own = new @ whitening(*torch.linalg.eigh(new.T @ new / len(new)), torch.zeros(())).T
    new = own @ (vectors * values.sqrt()).T + 50  # statistics of the third class: those shared by the first two
    three = moments(torch.cat([features, new]), torch.cat([labels, torch.full((len(new),), 2)]), 3)
    assert three.within().numpy() == pytest.approx(target.numpy(), rel=1e-9)
    update = (2 * target + new.T.cov(correction=0)) / 3  # C/(C+1) Sigma + 1/(C+1) Sigma_new
    assert update.numpy() == pytest.approx(target.numpy(), rel=1e-9)


def test_the_decomposition_is_made_once_and_again_for_more_samples():
    features, labels = clouds(60, 4)
    sums = moments(features[:40], labels[:40], 3)
    assert eigen(sums, "within")[1] is eigen(sums, "within")[1]
    sums.add(features[40:], labels[40:])
    assert eigen(sums, "within")[0].sum().item() == pytest.approx(sums.within().trace().item())
    assert eigen(sums, "covariance")[0].sum().item() == pytest.approx(sums.covariance().trace().item())


@pytest.mark.parametrize(
    ("variances", "fourth", "share"),
    [((1, 1, 1), 100, 0), ((1, 3), 9, 0), ((1, 3), 14, 0.5), ((1, 3), 16, 0.75), ((1, 3), 100, 1)],
)
def test_ledoit_wolf_by_hand(variances, fourth, share):
    """Of (1, 3): squares 10, (10 - 16 / 2) / 2 = 1 away from equal ones, and (fourth - 10) / 8 of noise at n = 4."""
    found = ledoit_wolf(torch.tensor(variances).double(), torch.tensor(fourth).double(), 4)
    assert found.item() == share
