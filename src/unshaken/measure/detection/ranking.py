"""AUROC with DeLong's interval, of one abnormal set or the mean over several, its paired comparison, and the ROC band.

A score is an abnormality score: higher is more abnormal. Detectors that give confidences pass them with a minus sign.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from unshaken.measure.detection.operating_points import ROUNDING, OperatingPoints, levels, resampled
from unshaken.measure.statistics.columns import Numbers, numbers, same_length
from unshaken.measure.statistics.influence import share_below
from unshaken.measure.statistics.intervals import Figure, clopper_pearson, percent

_NO_SPREAD = 1e-30  # variances of equal placements, which lie in [0, 1], in float64


@dataclass(frozen=True, slots=True)
class AurocComparison:
    """Two detectors on the same samples.

    Args:
        a: AUROC of the first.
        b: AUROC of the second.
        difference: b minus a, in [-1, 1], with DeLong's interval of the pair.
        p_value: two-sided, that the difference is zero.
    """

    a: Figure
    b: Figure
    difference: Figure
    p_value: float


@dataclass(frozen=True, slots=True, eq=False)
class RocBand:
    """The ROC curve on a grid of false-alarm rates, with an interval for each (not one for all together).

    Args:
        false_alarm_rate: `[G]`, the grid.
        detection_rate: `[G]`, the highest share of abnormal flagged at a false-alarm rate of at most this.
        low: `[G]`, lower ends.
        high: `[G]`, upper ends.
        interval: their method and level.
    """

    false_alarm_rate: Numbers
    detection_rate: Numbers
    low: Numbers
    high: Numbers
    interval: str


def auroc(normal: ArrayLike, abnormal: ArrayLike, *, level: float = 0.95) -> Figure:
    """Chance that an abnormal sample scores above a normal one: `P(o > a) + 0.5 P(o = a)`.

    Args:
        normal: `[n]`, abnormality scores: higher is more abnormal.
        abnormal: `[m]`.
        level: coverage of the interval, approximately.

    Returns:
        The figure over n + m samples. The interval is DeLong's on the logit scale, with the t quantile of
        Satterthwaite's degrees of freedom, so that it stays inside (0, 1) and holds for small groups. Where DeLong's
        variance is zero or undefined (AUROC 0 or 1, all scores equal, a group of one) it is Clopper-Pearson's of
        min(n, m) trials: as many pairs without a common sample there are, each right with the chance AUROC. At 0 and
        1 this is exact. Simulated normal scores at 95%: 0.94 to 0.98 from 20 + 20 samples on, wider than need be below,
        0.90 where one group has 10 and the other 200.

    Raises:
        ParameterError: a group is empty or has missing values; the level is outside (0, 1).

    Source: DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44(3); Sun & Xu 2014, IEEE SPL 21(11), for its O(n log n)
    form; Qin & Hotilovac 2008, SMMR 17(2), for the logit.

    >>> figure = auroc([0.1, 0.4, 0.35], [0.4, 0.8])
    >>> round(figure.value, 4), round(figure.low, 4), round(figure.high, 4)
    (0.9167, 0.0532, 0.9995)
    """
    return mean_auroc(of_sets(normal, [abnormal]), level=level)


def compare_auroc(
    normal_a: ArrayLike, abnormal_a: ArrayLike, normal_b: ArrayLike, abnormal_b: ArrayLike, *, level: float = 0.95
) -> AurocComparison:
    """DeLong's test of two detectors on the same samples, in the same order.

    Args:
        normal_a: `[n]`, scores of the first detector.
        abnormal_a: `[m]`.
        normal_b: `[n]`, scores of the second detector on the same samples.
        abnormal_b: `[m]`.
        level: coverage of the intervals.

    Returns:
        The comparison. Interval and p-value use the t distribution as in `auroc`. Without spread (the same ranking
        twice, both detectors perfect) they rest on the min(n, m) pairs without a common sample, which all showed the
        same difference: their share has Clopper-Pearson's lower end, the others may differ by anything in [-1, 1].

    Raises:
        ParameterError: as in `auroc`; the two detectors have different numbers of samples.

    Source: DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44(3).
    """
    one, other = of_sets(normal_a, [abnormal_a]), of_sets(normal_b, [abnormal_b])
    same_length(normal_a=one.normal, normal_b=other.normal)
    same_length(abnormal_a=one.abnormal[0], abnormal_b=other.abnormal[0])
    a, b = mean_auroc(one, level=level), mean_auroc(other, level=level)
    difference, p = mean_difference(one, other, level=level)
    if difference is None or p is None:
        value, pairs = b.value - a.value, min(len(one.normal), len(one.abnormal[0]))
        held = float(clopper_pearson(pairs, pairs, level=level)[0])
        low, high = max(-1.0, held * value - (1 - held)), min(1.0, held * value + (1 - held))
        method = f"clopper-pearson {percent(level)} (no spread)"
        difference = Figure(value, min(low, value), max(high, value), a.n, method)
        p = min(1.0, 2 * (1 + abs(value)) ** -pairs)  # all pairs alike, though their mean difference is 0
    return AurocComparison(a, b, difference, p)


def roc_band(
    normal: ArrayLike,
    abnormal: ArrayLike,
    *,
    grid: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> RocBand:
    """Detection rate at given false-alarm rates, with a band for a chart.

    Args:
        normal: `[n]`, abnormality scores: higher is more abnormal.
        abnormal: `[m]`.
        grid: `[G]` false-alarm rates in [0, 1]; default 0, 0.01, ... 1.
        level: coverage at each rate of the grid.
        resamples: bootstrap draws, each group on its own: the thresholds move with the normal samples.
        seed: of the draws.

    Returns:
        The band: percentiles of the draws, widened to hold Clopper-Pearson's interval at the fixed thresholds, since a
        bootstrap has no width where all or no abnormal samples are flagged.

    Raises:
        ParameterError: a group is empty or has missing values; the grid is outside [0, 1]; resamples below 1.
    """
    method = f"bootstrap {percent(level)} ({resamples}), at least clopper-pearson"
    rates = np.linspace(0, 1, 101) if grid is None else numbers("grid", grid, low=0, high=1)
    scores = levels(normal, abnormal)
    value, m = _detected(scores.points(), rates), len(scores.abnormal)
    blocks = [
        _detected(OperatingPoints(a, b), rates)
        for (points,) in resampled(scores, resamples=resamples, seed=seed)
        for a, b in zip(points.normal, points.abnormal, strict=True)
    ]
    low, high = np.quantile(np.stack(blocks), [(1 - level) / 2, (1 + level) / 2], axis=0)
    share_low, share_high = clopper_pearson(np.rint(value * m), m, level=level)
    return RocBand(rates, value, np.minimum(low, share_low), np.maximum(high, share_high), method)


def _detected(points: OperatingPoints, rates: Numbers) -> Numbers:
    """The highest detection rate at a false-alarm rate of at most each of `rates`."""
    flagged = points.mirrored()  # from nothing flagged to all
    detected, alarms = flagged.normal / flagged.normal[-1], flagged.abnormal / flagged.abnormal[-1]
    return np.asarray(detected[np.searchsorted(alarms, rates + ROUNDING, side="right") - 1])


@dataclass(frozen=True, slots=True, eq=False)
class Placements:
    """DeLong's structural components of K abnormal sets that share their normal samples.

    Args:
        normal: `[n]`: for each normal sample the share of abnormal ones above it, a tie half, averaged over the sets.
        abnormal: K of `[m_k]`: for each abnormal sample the share of normal ones below it.
    """

    normal: Numbers
    abnormal: tuple[Numbers, ...]

    @property
    def value(self) -> float:
        """The mean AUROC over the sets, each with the same weight."""
        return float(np.mean([q.mean() for q in self.abnormal]))

    @property
    def n(self) -> int:
        """Number of samples of all groups."""
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
    """The components of one detector on K abnormal sets.

    Args:
        normal: `[n]`, at least one: higher is more abnormal.
        abnormal: K sets of `[m_k]`, at least one each.

    Raises:
        ParameterError: a group is empty or has missing values.
    """
    x, sets = numbers("normal", normal), [numbers("abnormal", other) for other in abnormal]
    return Placements(np.mean([1 - share_below(x, y) for y in sets], axis=0), tuple(share_below(y, x) for y in sets))


def mean_auroc(found: Placements, *, level: float = 0.95) -> Figure:
    """The unweighted mean of the AUROC over K sets, with its interval as `auroc` has it for one: DeLong's on the logit.

    Without spread it is Clopper-Pearson's of as many pairs without a common sample as the smallest group has.

    Args:
        found: components of the detector.
        level: coverage of the interval, approximately.
    """
    value = min(1.0, max(0.0, found.value))
    variance, dof = found.variance()
    if variance is None or not 0 < value < 1:
        pairs = min(len(found.normal), *(len(q) for q in found.abnormal))
        right = [math.floor(pairs * value + 1e-9), math.ceil(pairs * value - 1e-9)]
        ends, method = clopper_pearson(right, pairs, level=level), "clopper-pearson"
        low, high = ends[0][0], ends[1][1]
    else:
        half = float(special.stdtrit(dof, (1 + level) / 2)) * math.sqrt(variance) / (value * (1 - value))
        low, high = special.expit(special.logit(value) + half * np.array([-1, 1]))
        method = "delong"
    return Figure(value, min(float(low), value), max(float(high), value), found.n, f"{method} {percent(level)}")


def mean_difference(a: Placements, b: Placements, *, level: float = 0.95) -> tuple[Figure | None, float | None]:
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
    half = float(special.stdtrit(dof, (1 + level) / 2)) * error
    low, high = max(-1.0, min(value, value - half)), min(1.0, max(value, value + half))
    p = 2 * float(special.stdtr(dof, -abs(value) / error))
    return Figure(value, low, high, gap.n, f"delong {percent(level)}"), p
