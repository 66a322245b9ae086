"""`ClassGaussians`: a Gaussian for each class with one covariance, to which classes are added without training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unshaken.core.errors import DataError

CONSTANT = 1e-10
"""A direction whose variance is below this share of the largest does not vary: it counts in no distance."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassGaussians:
    """Class means and the covariance that the classes share.

    Args:
        means: mu, float64 `[C, d]`.
        covariance: Sigma, float64 `[d, d]`.

    Source:
        Lee et al. 2018, arXiv:1807.03888, section 2.1 and algorithm 2.

    >>> first = torch.tensor([[1.0, 0], [-1, 0], [0, 2], [0, -2]])
    >>> both = ClassGaussians.fit(torch.cat([first, first + torch.tensor([4.0, 0])]), torch.arange(8) // 4)
    >>> both.distances(torch.tensor([[1.0, 1.0]])).tolist()
    [[2.5, 18.5]]
    """

    means: Tensor
    covariance: Tensor

    @classmethod
    def fit(cls, features: Tensor, labels: Tensor) -> ClassGaussians:
        """Means of the classes, and the covariance around them, divided by N.

        Args:
            features: `[N, d]`.
            labels: int64 `[N]`, 0 to C-1, every class present.

        Raises:
            DataError: a class has no sample.
        """
        x = features.double()
        counts = labels.bincount()
        if not bool((counts > 0).all()):
            raise DataError(f"class {int((counts == 0).nonzero()[0])} has no sample: every class below it needs one")
        means = torch.zeros(len(counts), x.shape[1], dtype=x.dtype).index_add_(0, labels, x) / counts[:, None]
        away = x - means[labels]
        return cls(means, away.T @ away / len(x))

    def with_class(self, features: Tensor) -> ClassGaussians:
        """Add a class of which a few samples are known: `Sigma <- C/(C+1) Sigma + 1/(C+1) Sigma_(C+1)`.

        Args:
            features: of the samples of the new class, `[n, d]`.

        Raises:
            DataError: there is no sample.
        """
        if not len(features):
            raise DataError("a class cannot be added without a sample")
        own, count = ClassGaussians.fit(features, torch.zeros(len(features), dtype=torch.int64)), len(self.means)
        covariance = (count * self.covariance + own.covariance) / (count + 1)
        return ClassGaussians(torch.cat([self.means, own.means]), covariance)

    def distances(self, features: Tensor) -> Tensor:
        """Squared Mahalanobis distances to the means, float64 `[N, C]`; the least is that of the class.

        Args:
            features: `[N, d]`.
        """
        precision = torch.linalg.pinv(self.covariance, rtol=CONSTANT, hermitian=True)
        away = features.double()[:, None] - self.means
        return torch.einsum("ncd,de,nce->nc", away, precision, away)

    def euclidean(self, features: Tensor) -> Tensor:
        """Squared Euclidean distances to the means, float64 `[N, C]`: the same without the covariance."""
        return (features.double()[:, None] - self.means).square().sum(2)
