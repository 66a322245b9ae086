"""How different the images are that activate a unit most: their classes, and their distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlogy

from unshaken.core.errors import ParameterError


@dataclass(frozen=True, slots=True)
class Diversity:
    """Of the top images of one unit.

    Args:
        entropy: of their classes in bits; 0 for one class.
        classes: number of distinct classes.
        distance: mean Euclidean distance of two of them in a feature space; None without features or for one image.
    """

    entropy: float
    classes: int
    distance: float | None


def exemplar_diversity(labels: Sequence[int], features: ArrayLike | None = None) -> Diversity:
    """How diverse a unit's top images are: a unit of one concept has few classes and small distances.

    Args:
        labels: classes `[n]` of the images.
        features: `[n, d]`, of one network for all units that are compared; None without.

    Raises:
        ParameterError: there is no image, or the lengths differ.

    >>> exemplar_diversity([3, 3, 7, 7]).entropy
    1.0
    """
    if not len(labels):
        raise ParameterError("a unit without top images has no diversity: give one label or more")
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    shares = counts / counts.sum()
    entropy = float(-xlogy(shares, shares).sum() / math.log(2)) + 0.0
    rows = None if features is None else np.asarray(features, np.float64)
    if rows is not None and (rows.ndim != 2 or len(rows) != len(labels)):
        raise ParameterError(f"features of shape {rows.shape} do not fit {len(labels)} labels: give [n, d]")
    if rows is None or len(rows) < 2:
        return Diversity(entropy, len(counts), None)
    pairs = [np.linalg.norm(rows[i] - rows[i + 1 :], axis=1) for i in range(len(rows) - 1)]
    return Diversity(entropy, len(counts), float(np.concatenate(pairs).mean()))
