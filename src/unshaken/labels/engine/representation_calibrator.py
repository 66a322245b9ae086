"""`RepresentationCalibrator`: class Gaussians of representations, small classes calibrated, and samples of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from unshaken.core.errors import DataError
from unshaken.core.imports import need
from unshaken.measure.statistics.columns import Flags, Indices, Numbers

Estimator = Literal["plain", "lof", "trimmed"]
NEIGHBOURS = 20
"""Neighbours of the local outlier factor."""
LARGEST = 5000
"""Samples of a class among which outliers are searched at once; the search takes their number squared."""


@dataclass(frozen=True, slots=True)
class ClassGaussians:
    """A normal distribution `N(mu_k, Sigma_k)` for each class.

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


Weighting = Literal["size", "inverse-distance", "uniform"]
Covariance = Literal["convex", "independent-sum"]


@dataclass(frozen=True, slots=True)
class Heads:
    """The large classes that a small one borrows from.

    Args:
        classes: their numbers, nearest first, int `[q]`.
        weights: of each, summing to 1, `[q]`.
    """

    classes: Indices
    weights: Numbers


def largest_classes(counts: Indices) -> Flags:
    """The larger half of the classes, of an odd number the smaller half of all; bool `[K]`. Ties by number.

    >>> largest_classes(np.array([5, 9, 9, 1])).tolist()
    [False, True, True, False]
    """
    found = np.zeros(len(counts), bool)
    found[np.argsort(-counts, kind="stable")[: max(1, len(counts) // 2)]] = True
    return found


def nearest_heads(means: Numbers, counts: Indices, heads: Indices, tail: int, q: int, weighting: Weighting) -> Heads:
    """The q large classes whose means are nearest (Euclidean).

    Args:
        means: `[K, m]`.
        counts: samples of each class `[K]`.
        heads: numbers of the large classes.
        tail: number of the small one.
        q: how many; all where there are fewer.
        weighting: in proportion to sizes, to inverse squared distances, or even.
    """
    distances = np.linalg.norm(means[heads] - means[tail], axis=1)
    near = np.argsort(distances, kind="stable")[:q]
    weights = _WEIGHTS[weighting](counts[heads[near]].astype(np.float64), distances[near])
    return Heads(heads[near], weights / weights.sum())


def calibrate(
    mean: Numbers,
    covariance: Numbers,
    head_means: Numbers,
    head_covariances: Numbers,
    weights: Numbers,
    *,
    beta: float,
    alpha: float = 0.0,
    mode: Covariance = "convex",
) -> tuple[Numbers, Numbers]:
    """A small class's mean and covariance after borrowing from large ones.

    `mu' = beta sum_j w_j mu_j + (1 - beta) mu`, and `Sigma' = beta sum_j w_j Sigma_j + (1 - beta) Sigma + alpha 1 1^T`
    (`convex`), or `beta^2 sum_j w_j^2 Sigma_j + (1 - beta)^2 Sigma + alpha 1 1^T` (`independent-sum`, which shrinks the
    spread).

    Args:
        mean: mu `[m]`.
        covariance: Sigma `[m, m]`.
        head_means: mu_j `[q, m]`.
        head_covariances: Sigma_j `[q, m, m]`.
        weights: w `[q]`, summing to 1.
        beta: confidence in the large classes, in [0, 1]; 0 leaves mean and covariance as they are.
        alpha: further dispersion, 0 or more.
        mode: of the covariance.

    Source: Zhang et al. 2023, arXiv:2211.10955; the weights of the heads are not published.
    """
    own, lent = (1 - beta, beta * weights) if mode == "convex" else ((1 - beta) ** 2, (beta * weights) ** 2)
    spread = np.tensordot(lent, head_covariances, 1) + own * covariance + alpha
    return beta * (weights @ head_means) + (1 - beta) * mean, spread


_WEIGHTS: Mapping[Weighting, Callable[[Numbers, Numbers], Numbers]] = {
    "size": lambda counts, distances: counts,
    "inverse-distance": lambda counts, distances: 1 / np.maximum(distances, 1e-12) ** 2,
    "uniform": lambda counts, distances: np.ones_like(distances),
}


@dataclass(frozen=True, slots=True)
class RepresentationCalibrator:
    """Distributions of the classes' representations, learned from long-tailed and partly wrong labels.

    Args:
        estimator: of means and covariances: `plain`, `lof` or `trimmed`.
        share: of each class that the latter two drop.
        beta: confidence of small classes in large ones, in [0, 1]; 0 for no calibration.
        q: number of large classes that a small one borrows from.
        alpha: further dispersion of small classes.
        weighting: of the large classes: `size`, `inverse-distance` or `uniform`.
        mode: of the covariance: `convex` or `independent-sum`.
        ridge: added to the diagonal of a covariance before samples are drawn, as a share of its mean variance.

    >>> z = np.random.default_rng(0).normal(0, 1, (90, 2)) + np.repeat([[0, 0], [5, 0]], [80, 10], 0)
    >>> found = RepresentationCalibrator(estimator="plain", q=1).fit(z, np.repeat([0, 1], [80, 10]), 2)
    >>> sorted(found.tails), found.sample([0, 3], seed=0)[0].shape
    ([1], (3, 2))
    """

    estimator: Estimator = "lof"
    share: float = 0.1
    beta: float = 0.2
    q: int = 2
    alpha: float = 0.0
    weighting: Weighting = "size"
    mode: Covariance = "convex"
    ridge: float = 1e-3

    def fit(self, z: Numbers, labels: Indices, classes: int) -> CalibratedClasses:
        """Estimate each class's distribution, then calibrate the smaller half of the classes.

        Args:
            z: representations `[N, m]`.
            labels: as given, int `[N]` in 0..classes-1.
            classes: K.

        Raises:
            DataError: a class has no sample.
            MissingExtra: `lof` needs scikit-learn.
        """
        found = fit_gaussians(z, labels, classes, estimator=self.estimator, share=self.share)
        large = largest_classes(found.counts)
        heads = np.flatnonzero(large)
        means, covariances, tails = found.means.copy(), found.covariances.copy(), {}
        for k in np.flatnonzero(~large).tolist():
            near = nearest_heads(found.means, found.counts, heads, k, self.q, self.weighting)
            means[k], covariances[k] = calibrate(
                found.means[k],
                found.covariances[k],
                found.means[near.classes],
                found.covariances[near.classes],
                near.weights,
                beta=self.beta,
                alpha=self.alpha,
                mode=self.mode,
            )
            tails[k] = near
        return CalibratedClasses(found, means, covariances, tails, self.ridge)


@dataclass(frozen=True, slots=True)
class CalibratedClasses:
    """Distributions to draw representations from.

    Args:
        estimated: before calibration.
        means: mu' `[K, m]`.
        covariances: Sigma' `[K, m, m]`.
        tails: number of a small class to those that it borrows from.
        ridge: see `RepresentationCalibrator`.
    """

    estimated: ClassGaussians
    means: Numbers
    covariances: Numbers
    tails: Mapping[int, Heads]
    ridge: float

    @property
    def factors(self) -> Numbers:
        """L with `L L^T = Sigma' + ridge mean(diag Sigma') I`, lower triangular, `[K, m, m]`."""
        spread = np.trace(self.covariances, axis1=1, axis2=2) / self.means.shape[1]
        noise = np.maximum(self.ridge * spread, 1e-12)[:, None, None] * np.eye(self.means.shape[1])
        found: Numbers = np.linalg.cholesky(self.covariances + noise)
        return found

    def balancing_counts(self) -> Indices:
        """Samples to draw of each class so that all are as large as the largest, int `[K]`."""
        counts = self.estimated.counts
        return np.asarray(counts.max() - counts, np.int64)

    def sample(self, counts: Indices | list[int], seed: int) -> tuple[Numbers, Indices]:
        """Draw points of the distributions.

        Args:
            counts: of each class `[K]`.
            seed: of the draws.

        Returns:
            Points `[sum of counts, m]`, class by class, and their classes.
        """
        rng, factors = np.random.Generator(np.random.Philox(key=[seed, 0x7263616C])), self.factors
        labels = np.repeat(np.arange(len(self.means)), counts)
        unit = rng.standard_normal((len(labels), self.means.shape[1]))
        return self.means[labels] + np.einsum("nij,nj->ni", factors[labels], unit), labels
