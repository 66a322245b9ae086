"""The closest pairs of samples with different labels: all pairs, exact, in blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.errors import DataError
from unshaken.explain.geometry.neighbours import CLOSE, check_finite, mean_of, squared_differences

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CrossPairs:
    """The closest pairs of samples with different labels, in rising order.

    Args:
        distances: float64 `[P]`, Euclidean.
        first: int64 `[P]`: index of one sample.
        second: of the other one.
        total: number of all pairs with different labels.
    """

    distances: Numbers
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    total: int

    def sharpness(self, quantile: float = 1.0, *, total: int | None = None) -> float:
        """`K_F`: 1 over the smallest distance, or over the one within which a share `1 - quantile` of all pairs lies.

        Args:
            quantile: of `|y - y'| / ||x - x'||` over all pairs; 1 for the largest.
            total: pairs that there are, where these are those of a part of the samples.

        Returns:
            Infinity where that distance is 0.

        Raises:
            DataError: fewer pairs are known than the quantile needs.
        """
        place = rank(self.total if total is None else total, quantile)
        if place > len(self.distances):
            raise DataError(f"{len(self.distances)} known pairs are too few for the quantile {quantile}")
        distance = float(self.distances[place - 1])
        return 1 / distance if distance > 0 else math.inf

    def among(self, chosen: NDArray[np.bool_]) -> CrossPairs:
        """Those pairs of which both samples are chosen; the total is not known then, and stays."""
        kept = chosen[self.first] & chosen[self.second]
        return CrossPairs(self.distances[kept], self.first[kept], self.second[kept], self.total)


def rank(total: int, quantile: float) -> int:
    """The place of a quantile of the ratios among the pairs by rising distance, from 1.

    >>> rank(10_000, 0.999), rank(10_000, 1.0)
    (10, 1)
    """
    return max(1, math.ceil(round((1 - quantile) * total, 6)))


def count_pairs(labels: Tensor) -> int:
    """Pairs of samples with different labels."""
    counts = widen(torch.unique(labels, return_counts=True)[1])
    return round(float((counts.sum() ** 2 - (counts**2).sum()) / 2))


def closest_pairs(points: Tensor, labels: Tensor, keep: int, *, block: int = 512) -> CrossPairs:
    """The `keep` closest of all pairs of samples with different labels.

    Args:
        points: `[N, D]`, finite.
        labels: int64 `[N]`.
        keep: pairs at most; memory grows with it, not with N.
        block: samples of one product.

    Raises:
        DataError: there are not two classes, or a value is not finite.
    """
    if len(torch.unique(labels)) < 2:
        raise DataError(
            f"{len(labels)} samples of one class have no label sharpness: give samples of two classes or more"
        )
    check_finite(points)
    n, centre = len(points), mean_of(points, block)
    lengths = torch.cat([((widen(p) - centre) ** 2).sum(1) for p in torch.split(points, block)])
    best = lengths.new_empty(0)
    pairs = torch.empty((2, 0), dtype=torch.int64)
    margin = keep + 64
    for one in range(0, n, block):
        rows = widen(points[one : one + block]) - centre
        for other in range(one, n, block):
            columns = widen(points[other : other + block]) - centre
            squared = lengths[one : one + block, None] + lengths[other : other + block] - 2 * rows @ columns.T
            i, j = (labels[one : one + block, None] != labels[other : other + block]).nonzero(as_tuple=True)
            if one == other:
                i, j = i[i < j], j[i < j]
            best = torch.cat([best, squared[i, j]])
            pairs = torch.cat([pairs, torch.stack([one + i, other + j])], 1)
            if len(best) > margin:
                best, order = best.topk(margin, largest=False, sorted=False)
                pairs = pairs[:, order]
    close = best < CLOSE * (lengths[pairs[0]] + lengths[pairs[1]])
    best[close] = squared_differences(points, pairs[0, close], pairs[1, close])
    order = torch.argsort(best.clamp(min=0), stable=True)[:keep]
    distances = best[order].clamp(min=0).sqrt().numpy()
    return CrossPairs(distances, pairs[0, order].numpy(), pairs[1, order].numpy(), count_pairs(labels))
