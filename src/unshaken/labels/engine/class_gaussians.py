"""A normal distribution for each class of given labels, its mean and covariance estimated in spite of wrong labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from unshaken.core.errors import DataError
from unshaken.core.extras import need
from unshaken.measure.statistics.columns import Flags, Indices, Numbers

Estimator = Literal["plain", "lof", "trimmed"]
NEIGHBOURS = 20
"""Neighbours of the local outlier factor."""
LARGEST = 5000
"""Samples of a class among which outliers are searched at once; the search takes their number squared."""


@dataclass(frozen=True, slots=True)
class ClassGaussians:
    """`N(mu_k, Sigma_k)` of each class.

    Args:
        means: mu, `[K, m]`.
        covariances: Sigma, `[K, m, m]`, symmetric and positive semidefinite.
        counts: samples that bear each label, int `[K]`, dropped ones among them.
        kept: which samples the estimates use, bool `[N]`.
    """

    means: Numbers
    covariances: Numbers
    counts: Indices
    kept: Flags


def fit_gaussians(
    z: Numbers, labels: Indices, classes: int, *, estimator: Estimator = "lof", share: float = 0.1
) -> ClassGaussians:
    """Mean and covariance (over n - 1) of the samples of each given label that are kept.

    Args:
        z: representations `[N, m]`.
        labels: as given, int `[N]` in 0..classes-1.
        classes: K.
        estimator: `plain` keeps all samples; `lof` drops those with the largest local outlier factors; `trimmed` drops
            those that are farthest from the class's median. The first two keep a dense group of wrong labels.
        share: of each class that is dropped, in [0, 0.5].

    Raises:
        DataError: a class has no sample.
        MissingExtra: `lof` needs scikit-learn.
    """
    counts = np.bincount(labels, minlength=classes)
    if counts.min() == 0:
        raise DataError(f"class {int(counts.argmin())} has no sample: its Gaussian cannot be estimated")
    kept, width = np.zeros(len(z), bool), z.shape[1]
    means, covariances = np.empty((classes, width)), np.zeros((classes, width, width))
    for k in range(classes):
        rows = np.flatnonzero(labels == k)
        kept[rows] = ~_OUTLIERS[estimator](np.asarray(z[rows], np.float64), share)
        own = np.asarray(z[rows[kept[rows]]], np.float64)
        means[k] = own.mean(0)
        covariances[k] = (own - means[k]).T @ (own - means[k]) / max(1, len(own) - 1)
    return ClassGaussians(means, covariances, counts, kept)


def squared_distances(z: Numbers, mean: Numbers, covariance: Numbers) -> Numbers:
    """Squared Mahalanobis distances `[n]` of points `[n, m]` from a distribution's centre; it must have full rank."""
    apart = z - mean
    found: Numbers = np.einsum("nm,nm->n", apart, np.linalg.solve(covariance, apart.T).T)
    return found


def normality(z: Numbers, mean: Numbers, covariance: Numbers) -> float:
    """How far points are from normally distributed: a Kolmogorov-Smirnov distance in [0, 1].

    It is that of their squared Mahalanobis distances from chi-squared with m degrees of freedom.

    Args:
        z: points `[n, m]`, others than those of which mean and covariance were estimated.
        mean: `[m]`.
        covariance: `[m, m]` of full rank.
    """
    from scipy import stats  # half a second

    return float(stats.kstest(squared_distances(z, mean, covariance), "chi2", args=(z.shape[1],)).statistic)


def _none(z: Numbers, share: float) -> Flags:
    return np.zeros(len(z), bool)


def _by_local_outlier_factor(z: Numbers, share: float) -> Flags:
    """The share of samples whose neighbourhood is thinnest beside that of their neighbours (Breunig et al. 2000)."""
    neighbours: Any = need("sklearn.neighbors", "scikit-learn", "labels", "the local outlier factor")
    found = np.zeros(len(z), bool)
    for part in np.array_split(np.arange(len(z)), -(-len(z) // LARGEST)):
        number = round(share * len(part))
        if number and len(part) > 2:
            lof = neighbours.LocalOutlierFactor(n_neighbors=min(NEIGHBOURS, len(part) - 1)).fit(z[part])
            found[part[np.argsort(lof.negative_outlier_factor_, kind="stable")[:number]]] = True
    return found


def _by_distance(z: Numbers, share: float) -> Flags:
    """The share of samples that are farthest from the median of each number."""
    apart = np.square(z - np.median(z, 0)).sum(1)
    found = np.zeros(len(z), bool)
    found[np.argsort(-apart, kind="stable")[: round(share * len(z))]] = True
    return found


_OUTLIERS: Mapping[Estimator, Callable[[Numbers, float], Flags]] = {
    "plain": _none,
    "lof": _by_local_outlier_factor,
    "trimmed": _by_distance,
}
