"""Distances between the distributions of two sets of filters, component by component of a common basis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
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
