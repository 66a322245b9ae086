"""Thresholds of detection scores, and what errors at them mean: precision at a base rate, the sum of both errors."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.intervals import Figure, clopper_pearson


def best_threshold(clean: Numbers, marked: Numbers) -> float:
    """The threshold with the least misses plus false alarms, of all distinct ones; above it is an alarm."""
    values = np.concatenate([[-np.inf], np.unique(np.concatenate([clean, marked]))])
    missed = np.searchsorted(np.sort(marked), values, side="right") / len(marked)
    alarms = 1 - np.searchsorted(np.sort(clean), values, side="right") / len(clean)
    best = int((missed + alarms).argmin())
    pair = values[best : best + 2]  # with the one above, if there is any
    return float(pair.mean() if np.isfinite(pair).all() else pair[0])


def threshold_at(clean: Numbers, rate: float) -> float:
    """The least threshold among the scores that at most a share of them is above."""
    ordered = np.sort(clean)
    return float(ordered[math.ceil(len(ordered) * (1 - rate) - 1e-9) - 1])


def precision(found: Figure, alarms: Figure, base: float) -> Figure:
    """The share of alarms that are right where a share `base` of images is generated: `p t / (p t + (1 - p) f)`.

    Args:
        found: t, share of generated images with an alarm.
        alarms: f, share of real images with one.
        base: p, in (0, 1).

    Returns:
        The figure, from the worse and the better ends of both shares.

    >>> one = Figure(1.0, 0.9, 1.0, 100, ""), Figure(0.01, 0.005, 0.02, 1000, "")
    >>> round(precision(*one, 0.01).value, 4)
    0.5025
    """

    def of(t: float, f: float) -> float:
        return base * t / (base * t + (1 - base) * f) if t > 0 or f > 0 else 0.0

    value = of(found.value, alarms.value)
    ends = of(found.low, alarms.high), of(found.high, alarms.low)
    return Figure(value, min(ends[0], value), max(ends[1], value), found.n + alarms.n, "ends of both shares at 95%")


def two_shares(counts: NDArray[np.int_]) -> Figure:
    """The sum of two shares, with the sum of their exact intervals at 97.5%, which together hold at 95%.

    Args:
        counts: `[2, 2]`: successes and trials of each.
    """
    low, high = clopper_pearson(counts[:, 0], counts[:, 1], level=0.975)
    value = float((counts[:, 0] / counts[:, 1]).sum())
    return Figure(value, float(low.sum()), float(high.sum()), int(counts[:, 1].sum()), "clopper-pearson 2 x 97.5%")
