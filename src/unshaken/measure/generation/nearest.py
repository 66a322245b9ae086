"""Nearest neighbours in feature space: leakage of training images, precision and recall of generated sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.generation.distances import as_pair
from unshaken.measure.statistics.columns import Flags, Indices, Numbers
from unshaken.measure.statistics.intervals import Figure, share

NEIGHBOURS = 50
"""Neighbours whose mean distance says how dense the place is."""
ALPHA = 0.5
OWN, COMPARED = 0.01, 2000
"""Share of held-out images that may be nearer to each other than a copy is; how many of them are compared."""


@dataclass(frozen=True, slots=True)
class Leakage:
    """Generated images with their nearest neighbours in a set that they must not repeat.

    Args:
        nearest: place of the nearest neighbour of each generated image, `[M]`.
        distance: root mean square of the difference to it, `[M]`.
        ratio: that distance over `ALPHA` times the mean over the nearest neighbours, `[M]`; a copy has a ratio near 0.
        copied: whether the ratio is below the threshold, or 0, `[M]`.
        threshold: 1, or less where held-out images themselves are near to each other.
    """

    nearest: Indices
    distance: Numbers
    ratio: Numbers
    copied: Flags
    threshold: float


def find_leakage(
    held_out: ArrayLike, made: ArrayLike, *, neighbours: int = NEIGHBOURS, alpha: float = ALPHA
) -> Leakage:
    """Find generated images that are far nearer to one held-out image than that place of the set is dense.

    In a set of simple images many are near to each other. A copy is therefore also nearer than all but 1 % of the
    held-out images are to one another, by the same ratio.

    Args:
        held_out: pixels or features of images that must not be repeated, such as the test set, `[N, D]`, N at least 2.
        made: the same of generated images `[M, D]`.
        neighbours: of the held-out images that give the density; fewer where there are fewer.
        alpha: in (0, 1]; a copy is nearer than this share of the mean distance to them.

    Raises:
        ParameterError: arrays are not finite `[N, D]` of one D, N is below 2, or a number is out of range.

    Source: Carlini et al. 2023, arXiv:2301.13188, whose threshold is always 1.
    """
    x, y = as_pair(held_out, made)
    if len(x) < 2 or neighbours < 2 or not 0 < alpha <= 1:
        raise ParameterError(
            f"{len(x)} held-out images and neighbours={neighbours} must be 2 or more, and alpha={alpha:g} in (0, 1]"
        )
    k = min(neighbours, len(x) - 1)
    distances = nearest_distances(y, x, k) / np.sqrt(x.shape[1])
    ratio = _ratio(distances, alpha)
    some = x[np.linspace(0, len(x) - 1, min(len(x), COMPARED)).astype(int)]
    own = _ratio(nearest_distances(some, x, k + 1)[:, 1:], alpha)  # the first one is the image itself
    threshold = min(1.0, float(np.quantile(own, OWN)))
    copied = (ratio < threshold) | (ratio == 0)
    nearest = np.concatenate([squared.argmin(1) for _, squared in _squared(y, x)])
    return Leakage(nearest, distances[:, 0], ratio, copied, threshold)


def _ratio(distances: Numbers, alpha: float) -> Numbers:
    mean = distances.mean(1)
    return np.asarray(np.divide(distances[:, 0], alpha * mean, out=np.zeros(len(mean)), where=mean > 0), np.float64)


def nearest_distances(points: Numbers, others: Numbers, k: int) -> Numbers:
    """Distances to the k nearest of other points, rising, `[N, k]`.

    Args:
        points: `[N, D]`.
        others: `[M, D]`, M at least k.
        k: 1 or more.
    """
    found = np.empty((len(points), k))
    for rows, squared in _squared(points, others):
        part = squared if k == squared.shape[1] else np.partition(squared, k - 1, axis=1)[:, :k]
        found[rows] = np.sqrt(np.sort(part, 1))
    return found


def _squared(points: Numbers, others: Numbers) -> Iterator[tuple[slice, Numbers]]:
    """Squared distances, some rows at a time; equal points have a distance of exactly 0."""
    rows = max(1, (1 << 22) // len(others))
    norms = (others**2).sum(1)
    for i in range(0, len(points), rows):
        part = points[i : i + rows]
        squared = ((part**2).sum(1)[:, None] + norms - 2 * part @ others.T).clip(0)
        near = squared.argmin(1)
        squared[np.arange(len(part)), near] = ((part - others[near]) ** 2).sum(1)  # where cancelling matters most
        yield slice(i, i + rows), squared


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
