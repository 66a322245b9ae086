"""The unweighted mean of the AUROC over several abnormal sets that share their normal samples, after DeLong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from unshaken.measure.detection.ranking import placements
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.intervals import clopper_pearson

_LEVEL = 0.95
_NO_SPREAD = 1e-30  # variances of equal placements, which lie in [0, 1], in float64


@dataclass(frozen=True, slots=True, eq=False)
class Placements:
    """DeLong's structural components of K sets.

    Args:
        normal: `[n]`: for each normal sample the share of abnormal ones above it, a tie half, averaged over the sets.
        abnormal: K of `[m_k]`: for each abnormal sample the share of normal ones below it.
    """

    normal: Numbers
    abnormal: tuple[Numbers, ...]

    @property
    def value(self) -> float:
        """The mean AUROC."""
        return float(np.mean([q.mean() for q in self.abnormal]))

    @property
    def n(self) -> int:
        """Samples of all groups."""
        return len(self.normal) + sum(len(q) for q in self.abnormal)

    def __sub__(self, other: Placements) -> Placements:
        pairs = zip(self.abnormal, other.abnormal, strict=True)
        return Placements(self.normal - other.normal, tuple(a - b for a, b in pairs))

    def variance(self) -> tuple[float | None, float]:
        """`Var(p)/n + sum_k Var(q_k)/(K^2 m_k)` and Satterthwaite's degrees of freedom; None without spread.

        The components of the normal samples are averaged over the sets first, so what the sets have in common counts
        in full.
        """
        groups = [self.normal, *(q / len(self.abnormal) for q in self.abnormal)]
        if min(len(g) for g in groups) < 2:
            return None, 1.0
        parts = np.array([g.var(ddof=1) / len(g) for g in groups])
        total = float(parts.sum())
        if total < _NO_SPREAD:
            return None, 1.0
        return total, total**2 / float((parts**2 / [len(g) - 1 for g in groups]).sum())


def of_sets(normal: ArrayLike, abnormal: Sequence[ArrayLike]) -> Placements:
    """The components of one detector.

    Args:
        normal: `[n]`, at least one: higher is more abnormal.
        abnormal: K sets of `[m_k]`, at least one each.
    """
    found = [placements(normal, other) for other in abnormal]
    return Placements(np.mean([p for p, _ in found], axis=0), tuple(q for _, q in found))


def mean_auroc(found: Placements) -> Figure:
    """The mean with its interval, as `measure.ranking.auroc` gives it for one set: DeLong's on the logit scale.

    Without spread it is Clopper-Pearson's of as many pairs without a common sample as the smallest group has.
    """
    value = min(1.0, max(0.0, found.value))
    variance, dof = found.variance()
    if variance is None or not 0 < value < 1:
        return _no_spread(value, found)
    half = float(scipy.stats.t.ppf((1 + _LEVEL) / 2, dof)) * math.sqrt(variance) / (value * (1 - value))
    low, high = special.expit(special.logit(value) + half * np.array([-1, 1]))
    return Figure(value, min(float(low), value), max(float(high), value), found.n, "delong 95%")


def mean_difference(a: Placements, b: Placements) -> tuple[Figure | None, float | None]:
    """How much higher the mean of b is than that of a, on the same samples in the same order, and its p-value.

    Returns:
        The difference in [-1, 1] with DeLong's interval of the pair, and the two-sided p-value; None and None where
        the two rank every sample alike or are both perfect, so that there is no spread to judge by.
    """
    gap = b - a
    value = b.value - a.value
    variance, dof = gap.variance()
    if variance is None:
        return None, None
    error = math.sqrt(variance)
    half = float(scipy.stats.t.ppf((1 + _LEVEL) / 2, dof)) * error
    low, high = max(-1.0, min(value, value - half)), min(1.0, max(value, value + half))
    return Figure(value, low, high, gap.n, "delong 95%"), 2 * float(scipy.stats.t.sf(abs(value) / error, dof))


def _no_spread(value: float, found: Placements) -> Figure:
    pairs = min(len(found.normal), *(len(q) for q in found.abnormal))
    right = [math.floor(pairs * value + 1e-9), math.ceil(pairs * value - 1e-9)]
    low, high = clopper_pearson(right, pairs, level=_LEVEL)
    return Figure(value, min(float(low[0]), value), max(float(high[1]), value), found.n, "clopper-pearson 95%")
