"""Two groups of scores as operating points: how many of each are accepted at every threshold, and their bootstrap.

A score is an abnormality score: higher is more abnormal. A threshold t accepts the samples with `score <= t` and flags
the others. Every figure of detection is a function of the two counts of accepted samples, so that scores are sorted
once and a resample costs two counts and two cumulative sums, however many figures are taken from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Indices, Numbers, numbers
from unshaken.measure.statistics.intervals import Figure, bootstrap_figure, clopper_pearson, percent

ROUNDING = 1e-12  # 0.07 of 100 samples are 7 samples, not the 7.000000000000001 of float64

_BLOCK = 1 << 17  # counts of one group held at once: 1 MiB


@dataclass(frozen=True, slots=True, eq=False)
class OperatingPoints:
    """Accepted samples at each cut, from none to all.

    Args:
        normal: `[..., K + 1]`: normal samples among the k lowest of K distinct scores, k = 0..K; the last is n.
        abnormal: as `normal`, of the abnormal samples; the last is m.
    """

    normal: Numbers
    abnormal: Numbers

    def mirrored(self) -> OperatingPoints:
        """The points when scores change their sign and the two groups their roles: flagged abnormal, flagged normal."""
        return OperatingPoints(_flagged(self.abnormal), _flagged(self.normal))


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Scores as places among their distinct values.

    Args:
        values: `[K]`, the distinct scores of both groups, ascending.
        normal: `[n]`, the place of each normal sample in `values`.
        abnormal: `[m]`, the place of each abnormal sample.
    """

    values: Numbers
    normal: Indices
    abnormal: Indices

    @property
    def n(self) -> int:
        """Number of samples of both groups."""
        return len(self.normal) + len(self.abnormal)

    def points(self) -> OperatingPoints:
        """The operating points of the samples themselves, `[K + 1]` each."""
        k = len(self.values)
        return OperatingPoints(*(cumulated(np.bincount(g, minlength=k)) for g in (self.normal, self.abnormal)))

    def extremes(self, level: float) -> tuple[OperatingPoints, OperatingPoints]:
        """The worst and the best populations that could have shown only what these samples show.

        n of n samples within a set bound its share in the population from below: by `((1 - level)/4)^(1/n)` for each
        group, both together with confidence `(1 + level)/2`. The rest of each group goes where it does most harm
        (normal above all, abnormal below all) or most good. Where no resample differs from the samples, as with
        perfectly separated groups, this bounds every figure that such moves cannot better, whatever the distribution.

        Returns:
            Worst, best: `[K + 3]` each, with the totals n and m.
        """
        sizes = [len(self.normal), len(self.abnormal)]
        held, _ = clopper_pearson(sizes, sizes, level=(1 + level) / 2)
        own = self.points()
        low = [g * h for g, h in zip((own.normal, own.abnormal), held, strict=True)]
        high = [g * h + (1 - h) * g[-1] for g, h in zip((own.normal, own.abnormal), held, strict=True)]
        bottom, top = ([np.concatenate([[0.0], g, [g[-1]]]) for g in ends] for ends in (high, low))
        for padded, size in zip(top, sizes, strict=True):
            padded[-1] = size
        return OperatingPoints(top[0], bottom[1]), OperatingPoints(bottom[0], top[1])


def levels(normal: ArrayLike, abnormal: ArrayLike) -> Levels:
    """Check and sort the scores of two groups.

    Args:
        normal: `[n]`; infinity is a rank like any other.
        abnormal: `[m]`.

    Raises:
        ParameterError: a group is empty, not one-dimensional, or has missing values.
    """
    groups = numbers("normal", normal), numbers("abnormal", abnormal)
    values, places = np.unique(np.concatenate(groups), return_inverse=True)
    n = len(groups[0])
    return Levels(values, places[:n].astype(np.int64), places[n:].astype(np.int64))


def resampled(*detectors: Levels, resamples: int, seed: int) -> Iterator[tuple[OperatingPoints, ...]]:
    """Bootstrap resamples, each group drawn with replacement on its own; all detectors see the same draws.

    Args:
        detectors: scores of the same samples in the same order.
        resamples: B, at least 1.
        seed: the draws depend on it, B and the samples, not on their order.

    Yields:
        Blocks of one `[rows, K + 1]` of operating points for each detector; the rows of all blocks are B.

    Raises:
        ParameterError: resamples is below 1.
    """
    check_resamples(resamples)
    rng = np.random.default_rng(seed)
    normal, abnormal = _sorted([d.normal for d in detectors]), _sorted([d.abnormal for d in detectors])
    rows = rows_at_once(max(len(d.values) for d in detectors))
    for first in range(0, resamples, rows):
        size = min(rows, resamples - first)
        counts = [np.empty((2, size, len(d.values)), np.int64) for d in detectors]
        for row in range(size):
            for group, places in enumerate((normal, abnormal)):
                drawn = rng.integers(len(places[0]), size=len(places[0]))
                for count, place in zip(counts, places, strict=True):
                    count[group, row] = np.bincount(place[drawn], minlength=count.shape[2])
        yield tuple(OperatingPoints(*cumulated(c)) for c in counts)


def check_resamples(resamples: int) -> None:
    """Refuse a number of bootstrap draws below 1.

    Raises:
        ParameterError: it is.
    """
    if resamples < 1:
        raise ParameterError(f"resamples must be at least 1, not {resamples}; 1000 is usual")


def rows_at_once(levels: int) -> int:
    """Resamples that fit in one block, at `levels` counts each."""
    return max(1, _BLOCK // levels)


def cumulated(counts: Indices) -> Numbers:
    """Counts `[..., K]` added up from none to all, `[..., K + 1]`; whole numbers add up faster than floats."""
    out = np.zeros((*counts.shape[:-1], counts.shape[-1] + 1), np.int64)
    np.cumsum(counts, axis=-1, out=out[..., 1:])
    return out.astype(np.float64)


def accepted_at(points: OperatingPoints, share: float) -> Numbers:
    """Share of the abnormal accepted by the lowest threshold that accepts at least `share` of the normal, `[...]`."""
    a, b = points.normal, points.abnormal
    cut = (a >= share * a[..., -1:] * (1 - ROUNDING)).argmax(-1)
    return np.take_along_axis(b, cut[..., None], -1)[..., 0] / b[..., -1]


def average_precision(points: OperatingPoints) -> Numbers:
    """`sum_k (R_k - R_{k-1}) P_k` with the normal as positives, from the lowest score up, `[...]`."""
    a, b = points.normal, points.abnormal
    retrieved = a + b
    precision = np.divide(a, retrieved, out=np.zeros_like(a), where=retrieved > 0)
    return np.asarray((np.diff(a) * precision[..., 1:]).sum(-1) / a[..., -1])


def ranking_share(points: OperatingPoints) -> Numbers:
    """AUROC: the share of pairs whose abnormal sample has the higher score, half credit for ties, `[...]`."""
    a, b = points.normal, points.abnormal
    below = (a[..., 1:] + a[..., :-1]) / 2
    return np.asarray((below * np.diff(b)).sum(-1) / (a[..., -1] * b[..., -1]))


def best_accuracy(points: OperatingPoints) -> Numbers:
    """`max_t 0.5 (share of normal accepted + share of abnormal flagged)`, at least 0.5, `[...]`."""
    a, b = points.normal, points.abnormal
    return 0.5 + 0.5 * np.asarray((a / a[..., -1:] - b / b[..., -1:]).max(-1))


def _flagged(accepted: Numbers) -> Numbers:
    return np.asarray((accepted[..., -1:] - accepted)[..., ::-1])


def _sorted(places: list[Indices]) -> list[Indices]:
    """The same samples in an order that depends on their scores alone."""
    order = np.lexsort(places)
    return [p[order] for p in places]


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
    if not logit:
        return bootstrap_figure(value, draws, n, level=level)
    centre = np.clip(2 * value - draws.mean(), value / 2, (1 + value) / 2)  # the value less the bias, inside (0, 1)
    half = special.ndtri((1 + level) / 2) * draws.std() / (value * (1 - value))
    low, high = special.expit(special.logit(centre) + half * np.array([-1, 1]))
    method = f"bootstrap logit {percent(level)} ({len(draws)})"
    return Figure(value, float(min(low, value)), float(max(high, value)), n, method)


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
