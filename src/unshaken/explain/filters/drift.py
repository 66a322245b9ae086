"""The principal directions of scaled filters, and distances between the distributions of two sets of them there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.errors import ModelError, ParameterError
from unshaken.models.loaders.weights import read_weights

Numbers = NDArray[np.float64]


def scaled(filters: Numbers) -> Numbers:
    """Each filter divided by its own largest absolute weight; filters of zeros stay 0.

    Args:
        filters: `[n, d]`.
    """
    largest = np.abs(filters).max(1, keepdims=True)
    return np.asarray(filters / np.where(largest > 0, largest, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """Principal directions of scaled filters.

    Args:
        mean: `[d]`, of the scaled filters.
        directions: `[d, d]`, a direction a row, the one with the largest variance first.
        shares: `[d]`, each one's share of the variance; their sum is 1.
    """

    mean: Numbers
    directions: Numbers
    shares: Numbers

    def coefficients(self, filters: Numbers) -> Numbers:
        """Filters, which are scaled here, in this basis.

        Args:
            filters: `[n, d]`.

        Raises:
            ParameterError: they have another size.
        """
        if filters.shape[1] != len(self.mean):
            raise ParameterError(
                f"filters of {filters.shape[1]} weights do not fit a basis of {len(self.mean)}: use kernels of one size"
            )
        return np.asarray((scaled(filters) - self.mean) @ self.directions.T)

    def tensors(self) -> dict[str, Tensor]:
        """As float64 tensors, to be kept in a safetensors file."""
        return {
            "basis_mean": torch.from_numpy(self.mean),
            "basis_directions": torch.from_numpy(self.directions),
            "basis_shares": torch.from_numpy(self.shares),
        }

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor], source: str) -> Basis:
        """The basis that `tensors` kept.

        Raises:
            ModelError: it is not there, or not of one size.
        """
        names = ("basis_mean", "basis_directions", "basis_shares")
        if missing := [n for n in names if n not in tensors]:
            raise ModelError(
                f"{source} holds no basis of filters: {missing[0]!r} is missing; give arrays of filter-drift"
            )
        mean, directions, shares = (np.asarray(widen(tensors[n]).numpy()) for n in names)
        if directions.shape != (mean.size, mean.size) or shares.shape != mean.shape or mean.ndim != 1:
            raise ModelError(f"{source}: the parts of the basis have shapes that do not fit each other")
        return cls(mean, directions, shares)


def read_basis(path: str) -> Basis:
    """A basis from the arrays of an earlier `filter-drift`.

    Raises:
        ModelError: the file is absent or holds none.
    """
    return Basis.of_tensors(read_weights(Path(path)), path)


def fit_basis(pools: Sequence[Numbers]) -> Basis:
    """The basis of all filters of some pools together, from their covariance in float64.

    Args:
        pools: each `[n, d]`, unscaled.

    Raises:
        ParameterError: there is no filter, or all are equal once scaled, so that there is no direction.
    """
    rows = np.concatenate([scaled(p) for p in pools]) if len(pools) else np.zeros((0, 1))
    if not len(rows):
        raise ParameterError("there is no filter to fit a basis to")
    mean = rows.mean(0)
    values, vectors = np.linalg.eigh((rows - mean).T @ (rows - mean))
    values = values[::-1].clip(0)
    if values.sum() <= 1e-20 * rows.size:
        raise ParameterError("all filters are equal once scaled: they have no principal directions")
    directions = vectors[:, ::-1].T
    leading = np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1)
    return Basis(mean, np.ascontiguousarray(directions * np.sign(leading)), values / values.sum())


Measure = Literal["kl", "js", "wasserstein"]
FLOOR = float(np.finfo(np.float32).eps)
"""Density of an empty bin."""


@dataclass(frozen=True, slots=True)
class Bins:
    """The bins that all components and all sets share.

    Args:
        low: left end of the first.
        high: right end of the last.
        count: how many.
    """

    low: float
    high: float
    count: int = 70

    @classmethod
    def over(cls, coefficients: list[Numbers], count: int = 70) -> Bins:
        """From the smallest to the largest of all coefficients; widened a little where they are all equal."""
        low = min(float(c.min()) for c in coefficients)
        high = max(float(c.max()) for c in coefficients)
        return cls(low, high, count) if high > low else cls(low - 0.5, high + 0.5, count)

    def places(self, coefficients: Numbers) -> NDArray[np.int64]:
        """The bin of each value, from 0; what lies outside counts in the first or the last."""
        share = (coefficients - self.low) / (self.high - self.low)
        return np.asarray(np.clip(np.floor(share * self.count), 0, self.count - 1), np.int64)

    def counts(self, coefficients: Numbers) -> Numbers:
        """Values in each bin, `[d, bins]`, of coefficients `[n, d]`."""
        d = coefficients.shape[1]
        flat = self.places(coefficients) + self.count * np.arange(d)
        return np.asarray(np.bincount(flat.ravel(), minlength=d * self.count).reshape(d, self.count), np.float64)

    def masses(self, counts: Numbers) -> Numbers:
        """Shares of the bins `[..., bins]`, with the floor.

        An empty bin gets the *density* float32 epsilon, and what results is then scaled to the sum 1: the floor thus
        depends on the width of the bins, that is on the common range.
        """
        density = counts / (counts.sum(-1, keepdims=True) * (self.high - self.low) / self.count)
        filled = np.where(density > 0, density, FLOOR)
        return np.asarray(filled / filled.sum(-1, keepdims=True))


def symmetric_kl(p: Numbers, q: Numbers) -> Numbers:
    """`KL(p || q) + KL(q || p)`, the sum of both directions, in nats.

    Args:
        p: positive shares `[..., bins]` with the sum 1.
        q: likewise.

    >>> round(float(symmetric_kl(np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.5, 0.25]))), 6)
    0.346574
    """
    return np.asarray(((p - q) * np.log(p / q)).sum(-1))


def squared_js(p: Numbers, q: Numbers) -> Numbers:
    """The Jensen-Shannon divergence in nats, from 0 to log 2; arguments as for `symmetric_kl`."""
    return np.asarray(scipy.spatial.distance.jensenshannon(p, q, axis=-1)) ** 2


BINNED: dict[str, Callable[[Numbers, Numbers], Numbers]] = {"kl": symmetric_kl, "js": squared_js}


def drift(one: Numbers, other: Numbers, shares: Numbers, bins: Bins, measure: Measure = "kl") -> float:
    """The drift `D = sum_i evr_i d_i` between two sets of filters, by the variance shares of the components.

    It grows with fewer filters, more bins and a wider range: compare sets of equal size, in bins that all share.

    Args:
        one: coefficients `[n, d]` in a basis.
        other: `[m, d]` in the same one.
        shares: `[d]`, of the basis.
        bins: over all sets that are compared.
        measure: `kl` as published, `js`, or `wasserstein` (the mean shift of a coefficient, which needs no bins).

    Returns:
        0 for equal sets; symmetric. By `kl` two sets in different single bins have about 39 where the range is 2.

    Source: Gavrikov & Keuper 2022, arXiv:2203.15331.
    """
    if measure == "wasserstein":
        each = [scipy.stats.wasserstein_distance(a, b) for a, b in zip(one.T, other.T, strict=True)]
        return float(np.dot(shares, each))
    p, q = (bins.masses(bins.counts(c)) for c in (one, other))
    return float(np.dot(shares, BINNED[measure](p, q)))
