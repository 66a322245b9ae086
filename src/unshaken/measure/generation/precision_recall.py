"""Precision and recall of generated images: which of them look real, and which real images they cover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.generation.features import as_pair
from unshaken.measure.generation.nearest import nearest_distances
from unshaken.measure.statistics.columns import Flags, Numbers
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.intervals import share


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """How well two sets of images cover each other.

    Args:
        precision: share of generated images within the estimated manifold of real ones.
        recall: share of real images within the estimated manifold of generated ones.
        k: neighbours that a manifold's balls reach to.
    """

    precision: Figure
    recall: Figure
    k: int


def precision_recall(real: ArrayLike, made: ArrayLike, *, k: int = 3) -> PrecisionRecall:
    """Precision and recall by balls around each sample that reach to its k-th neighbour of its own set.

    Both depend on the numbers of images: compare only figures of the same N and M. The intervals are of the share of
    images alone, for fixed manifolds.

    Args:
        real: features `[N, D]`.
        made: features of generated images `[M, D]`.
        k: 1 or more, below N and M.

    Raises:
        ParameterError: features are not finite `[N, D]`, their dimensions differ, or k is out of range.

    Source: Kynkaanniemi et al. 2019, arXiv:1904.06991.
    """
    x, y = as_pair(real, made)
    if not 1 <= k < min(len(x), len(y)):
        raise ParameterError(f"k={k} must be 1 or more and below the number of images, {min(len(x), len(y))}")
    precision, recall = _covered(y, x, k), _covered(x, y, k)
    return PrecisionRecall(share(int(precision.sum()), len(y)), share(int(recall.sum()), len(x)), k)


def _covered(points: Numbers, manifold: Numbers, k: int) -> Flags:
    """Whether each point lies in a ball of the manifold's samples."""
    radius = nearest_distances(manifold, manifold, k + 1)[:, k]  # the first one is the sample itself
    found = np.zeros(len(points), bool)
    rows = max(1, (1 << 22) // len(manifold))
    for i in range(0, len(points), rows):
        part = points[i : i + rows]
        squared = (part**2).sum(1)[:, None] + (manifold**2).sum(1) - 2 * part @ manifold.T
        found[i : i + rows] = (np.sqrt(squared.clip(0)) <= radius).any(1)
    return found
