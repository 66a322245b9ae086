"""The bootstrap behind the figures of detection: which statistic, which draws, and what if they are all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import scipy
from scipy import special

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.operating_points import (
    Levels,
    OperatingPoints,
    accepted_at,
    average_precision,
    best_accuracy,
    ranking_share,
    resampled,
)
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.intervals import bootstrap_figure, clopper_pearson, percent

Measure = Literal["auroc", "aupr_normal", "aupr_abnormal", "fpr95_id_accept", "fpr95_ood_recall", "detection_accuracy"]
Statistic = Callable[[OperatingPoints], Numbers]

_SAME = 1e-9  # draws nearer than this to each other differ by rounding only


def statistics_at(at: float) -> dict[Measure, Statistic]:
    """Every measure as a function of operating points `[..., K + 1]`, with a value `[...]`.

    Args:
        at: in (0, 1]: the share that both FPR figures hold fixed.

    Raises:
        ParameterError: at is out of range.
    """
    if not 0 < at <= 1:
        raise ParameterError(f"at must lie in (0, 1], not {at}; 0.95 is usual")
    return {
        "auroc": ranking_share,
        "aupr_normal": average_precision,
        "aupr_abnormal": lambda points: average_precision(points.mirrored()),
        "fpr95_id_accept": lambda points: accepted_at(points, at),
        "fpr95_ood_recall": lambda points: accepted_at(points.mirrored(), at),
        "detection_accuracy": best_accuracy,
    }


def figures_of(
    scores: Levels, statistics: Mapping[Measure, Statistic], *, level: float, resamples: int, seed: int
) -> dict[Measure, Figure]:
    """Each statistic on the samples, all from the same resamples, with the interval that its kind takes.

    Args:
        scores: of both groups.
        statistics: some of `statistics_at`.
        level: coverage of each interval, approximately.
        resamples: bootstrap draws.
        seed: of the draws.

    Returns:
        For an FPR percentile intervals, widened to hold Clopper-Pearson's at the fixed threshold; for all else the
        bootstrap's bias and standard error on the logit scale, since percentiles carry the bias twice.
    """
    percent(level)
    blocks = [
        np.stack([value_of(points) for value_of in statistics.values()])
        for (points,) in resampled(scores, resamples=resamples, seed=seed)
    ]
    out = {}
    for (name, value_of), draws in zip(statistics.items(), np.concatenate(blocks, axis=1), strict=True):
        value = float(value_of(scores.points()))
        ends = [float(value_of(points)) for points in scores.extremes(level)]
        if name.startswith("fpr95"):
            size = len(scores.abnormal if name == "fpr95_id_accept" else scores.normal)
            out[name] = at_least_binomial(interval(value, draws, ends, scores.n, level), size, level)
        else:
            out[name] = interval(value, draws, ends, scores.n, level, logit=True)
        if name == "detection_accuracy":
            out[name] = replace(out[name], low=max(0.5, out[name].low))
    return out


def interval(
    value: float, draws: Numbers, ends: Sequence[float], n: int, level: float, *, logit: bool = False
) -> Figure:
    """The bootstrap's figure; where no draw differs, no spread is not certainty.

    Args:
        value: on the samples themselves.
        draws: `[B]`, on each resample.
        ends: values on the populations of `Levels.extremes`, the figure's bounds where the draws are all alike.
        n: samples.
        level: coverage.
        logit: `value - bias +- z error` on the logit scale instead of percentiles, for a value in (0, 1).

    Raises:
        ParameterError: the level is outside (0, 1).
    """
    method = f"extreme populations {percent(level)}"
    if np.ptp(draws) <= _SAME:
        return Figure(value, min(*ends, value), max(*ends, value), n, method)
    return _logit_figure(value, draws, n, level) if logit else bootstrap_figure(value, draws, n, level=level)


def at_least_binomial(figure: Figure, size: int, level: float) -> Figure:
    """The figure of a share of `size` samples, its interval widened to hold Clopper-Pearson's.

    The bootstrap of a share that is nearly 0 or 1 is too narrow; its samples are binomial once the threshold is given.

    Args:
        figure: the share.
        size: samples in the share's denominator.
        level: coverage of Clopper-Pearson's interval.
    """
    low, high = clopper_pearson(round(figure.value * size), size, level=level)
    ends = min(float(low), figure.low), max(float(high), figure.high)
    return Figure(figure.value, *ends, figure.n, f"{figure.interval}, at least clopper-pearson")


def _logit_figure(value: float, draws: Numbers, n: int, level: float) -> Figure:
    method = f"bootstrap logit {percent(level)} ({len(draws)})"
    centre = np.clip(2 * value - draws.mean(), value / 2, (1 + value) / 2)  # the value less the bias, inside (0, 1)
    half = scipy.stats.norm.ppf((1 + level) / 2) * draws.std() / (value * (1 - value))
    low, high = special.expit(special.logit(centre) + half * np.array([-1, 1]))
    return Figure(value, float(min(low, value)), float(max(high, value)), n, method)
