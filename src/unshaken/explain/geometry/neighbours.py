"""Nearest neighbours of all points, and closest pairs of different labels: exact, in float64 and in blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.errors import DataError

Numbers = NDArray[np.float64]
CLOSE = 1e-6
"""Squared distances below this share of the squared lengths are computed again, from differences."""
_SLACK = 8
_DIFFERENCES = 1 << 23
"""Numbers of differences that are held at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """The nearest neighbours of each point, itself left out.

    Args:
        distances: float64 `[N, k]`, rising.
        indices: int64 `[N, k]`: which points they are.
    """

    distances: Numbers
    indices: NDArray[np.int64]

    def among(self, chosen: NDArray[np.bool_], k: int) -> Numbers:
        """Distances to the k nearest of some points, for these points: what they would be without the others.

        Args:
            chosen: bool `[N]`.
            k: neighbours.

        Returns:
            `[n, k]`; points of whose known neighbours fewer than k are chosen are left out.
        """
        there = chosen[self.indices] & chosen[:, None]
        rows = there.sum(1) >= k
        first = np.argsort(~there[rows], 1, kind="stable")[:, :k]
        return np.take_along_axis(self.distances[rows], first, 1)


def nearest(points: Tensor, k: int, *, block: int = 512) -> Neighbours:
    """The k nearest neighbours of every point by Euclidean distance.

    By `|a|^2 + |b|^2 - 2ab` of centred points; where that loses digits, from the differences themselves.

    Args:
        points: `[N, D]`, finite.
        k: neighbours.
        block: points of one product.

    Raises:
        DataError: there are too few points, or a value is not finite.
    """
    n = len(points)
    if n <= k:
        raise DataError(
            f"{k} nearest neighbours need {k + 1} points at least, not {n}: give more images or a smaller k"
        )
    check_finite(points)
    centre = mean_of(points, block)
    lengths = torch.cat([((widen(p) - centre) ** 2).sum(1) for p in torch.split(points, block)])
    wanted = min(n - 1, k + _SLACK)
    distances, indices = np.empty((n, k)), np.empty((n, k), np.int64)
    for first in range(0, n, block):
        rows = widen(points[first : first + block]) - centre
        best = lengths.new_empty((len(rows), 0))
        names = torch.empty((len(rows), 0), dtype=torch.int64, device=points.device)
        for start in range(0, n, block):
            columns = widen(points[start : start + block]) - centre
            squared = lengths[first : first + block, None] + lengths[start : start + block] - 2 * rows @ columns.T
            own = torch.arange(first, first + len(rows), device=points.device)
            others = torch.arange(start, start + len(columns), device=points.device)
            squared[own[:, None] == others] = torch.inf
            best = torch.cat([best, squared], 1)
            names = torch.cat([names, others.expand(len(rows), -1)], 1)
            best, order = best.topk(min(wanted, best.shape[1]), largest=False)
            names = names.gather(1, order)
        scale = lengths[first : first + block, None] + lengths[names]
        i, j = (best < CLOSE * scale).nonzero(as_tuple=True)
        best[i, j] = squared_differences(points, first + i, names[i, j])
        best, order = best.clamp(min=0).sort(dim=1, stable=True)
        distances[first : first + block] = best[:, :k].sqrt().cpu().numpy()
        indices[first : first + block] = names.gather(1, order)[:, :k].cpu().numpy()
    return Neighbours(distances, indices)


def check_finite(points: Tensor) -> None:
    """Refuse points that have no distance.

    Raises:
        DataError: a value is infinite or not a number.
    """
    wrong = (~points.flatten(1).isfinite().all(1)).nonzero().flatten()
    if len(wrong):
        raise DataError(f"point {int(wrong[0])} is infinite or not a number ({len(wrong)} of {len(points)} are)")


def mean_of(points: Tensor, block: int = 512) -> Tensor:
    """The mean point, float64 `[D]`."""
    return torch.stack([widen(p).sum(0) for p in torch.split(points, block)]).sum(0) / len(points)


def squared_differences(points: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Squared distances of pairs of points by their indices, float64 `[P]`, without cancellation."""
    step = max(1, _DIFFERENCES // max(1, points.shape[1]))
    parts = [
        ((widen(points[a]) - widen(points[b])) ** 2).sum(1)
        for a, b in zip(torch.split(one, step), torch.split(other, step), strict=True)
    ]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


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
        """Pairs of which both samples are chosen; the total is not known then, and stays."""
        rows = chosen[self.first] & chosen[self.second]
        return CrossPairs(self.distances[rows], self.first[rows], self.second[rows], self.total)


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
