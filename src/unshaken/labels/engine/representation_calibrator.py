"""`RepresentationCalibrator`: class Gaussians of representations, small classes calibrated, and samples of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unshaken.labels.engine.class_gaussians import ClassGaussians, Estimator, fit_gaussians
from unshaken.labels.engine.tail_calibration import (
    Covariance,
    Heads,
    Weighting,
    calibrate,
    largest_classes,
    nearest_heads,
)
from unshaken.measure.statistics.columns import Indices, Numbers


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
        """Points of the distributions.

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
