"""Classes whose supports overlap, with their exact posterior; and labels flipped between fixed pairs of classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

Numbers = NDArray[np.float64]

REACH = 12.0
"""Points lie in [-REACH, REACH]; a byte is a step of 0.094 deviations."""


@dataclass(frozen=True, slots=True)
class Points:
    """Points of a mixture as images of one row, with their exact posterior.

    Args:
        images: uint8 `[N, 1, 1, d]`.
        labels: int64 `[N]`.
        posterior: `[N, K]`, of the points as the bytes have them.
    """

    images: Tensor
    labels: Tensor
    posterior: Numbers


class TwoGaussians:
    """Two classes of normal points, `N(0, I)` and `N(mu 1, I)`.

    Args:
        separation: distance between the centres, `mu sqrt(d)`.
        dims: d.
    """

    classes = 2

    def __init__(self, separation: float, dims: int) -> None:
        self.shift, self.dims = separation / np.sqrt(dims), dims

    def draw(self, n: int, rng: np.random.Generator) -> Points:
        """Points of both classes, equally likely."""
        labels = rng.integers(0, 2, n)
        x = rng.normal(size=(n, self.dims)) + self.shift * labels[:, None]
        return _points(x, labels, self.posterior)

    def posterior(self, x: Numbers) -> Numbers:
        """The probability of each class at points `[N, d]`, `[N, 2]`."""
        odds = self.shift * x.sum(1) - self.shift**2 * self.dims / 2
        return np.stack([special.expit(-odds), special.expit(odds)], 1)


class OverlappingPairs:
    """Classes in pairs; with probability rho a point comes from the cluster that its pair shares.

    Args:
        classes: k, even.
        overlap: rho.
        rng: draws the centres, `N(0, 4 I)`; the clusters have unit deviation.
        dims: d.
    """

    def __init__(self, classes: int, overlap: float, rng: np.random.Generator, dims: int = 20) -> None:
        self.classes, self.overlap, self.dims = classes, overlap, dims
        self.own = 2 * rng.normal(size=(classes, dims))
        self.shared = 2 * rng.normal(size=(classes // 2, dims))

    def draw(self, n: int, rng: np.random.Generator) -> Points:
        """Points of all classes, equally likely."""
        labels = rng.integers(0, self.classes, n)
        common = rng.random(n) < self.overlap
        centres = np.where(common[:, None], self.shared[labels // 2], self.own[labels])
        return _points(centres + rng.normal(size=(n, self.dims)), labels, self.posterior)

    def posterior(self, x: Numbers) -> Numbers:
        """`p(y | x)` in proportion to `(1 - rho) N(x; own_y) + rho N(x; shared_y)`, `[N, k]`."""
        with np.errstate(divide="ignore"):
            logs = np.log([1 - self.overlap, self.overlap])
        own = logs[0] - ((x[:, None] - self.own) ** 2).sum(2) / 2
        shared = logs[1] - ((x[:, None] - self.shared) ** 2).sum(2) / 2
        return np.asarray(special.softmax(np.logaddexp(own, shared.repeat(2, 1)), axis=1), np.float64)


def _points(x: Numbers, labels: NDArray[np.int64], posterior: object) -> Points:
    bytes_ = ((x.clip(-REACH, REACH) + REACH) / (2 * REACH) * 255).round().astype(np.uint8)
    decoded = bytes_ / 255 * (2 * REACH) - REACH
    return Points(torch.from_numpy(bytes_)[:, None, None], torch.from_numpy(labels), posterior(decoded))  # type: ignore[operator]


class PairFlips:
    """Label noise: a fixed map sends each class to another; a label follows it with probability p.

    Args:
        classes: K.
        rng: draws the map.
    """

    def __init__(self, classes: int, rng: np.random.Generator) -> None:
        self.to = torch.from_numpy((np.arange(classes) + rng.integers(1, classes, classes)) % classes)

    def flipped(self, labels: Tensor, rate: float, rng: np.random.Generator) -> Tensor:
        """Labels of which each has followed the map with probability `rate`."""
        return torch.where(torch.from_numpy(rng.random(len(labels)) < rate), self.to[labels], labels)
