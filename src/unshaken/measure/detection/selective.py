"""Selective prediction: the risk of a classifier that answers only where the abnormality score is low.

A score is an abnormality score: higher is more abnormal (for a confidence, pass minus it). The classifier answers on
the samples of lowest score; coverage is their share, risk the share of wrong answers among them. Tied samples have no
order: every figure is the average over all orders of them, so none depends on the order of rows. Within a tie of c
samples with e wrong, the first j have `j e/c` wrong on average.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.operating_points import (
    ROUNDING,
    OperatingPoints,
    at_least_binomial,
    check_resamples,
    cumulated,
    interval,
    rows_at_once,
)
from unshaken.measure.statistics.columns import Flags, Indices, Numbers, flags, numbers, same_length
from unshaken.measure.statistics.intervals import Figure, clopper_pearson

Harmonic = Callable[[Numbers], Numbers]  # a count's harmonic number


@dataclass(frozen=True, slots=True, eq=False)
class RiskCoverage:
    """The risk-coverage curve at every distinct threshold.

    Args:
        thresholds: `[K]`, the distinct scores in ascending order; samples with a score of at most this are answered.
        coverage: `[K]`, share of samples answered, in (0, 1], the last is 1.
        risk: `[K]`, share of wrong answers among them; the last is the classifier's error.
    """

    thresholds: Numbers
    coverage: Numbers
    risk: Numbers


def risk_coverage(score: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """Risk against coverage as the threshold rises.

    Args:
        score: `[N]`, abnormality scores: higher is more abnormal.
        correct: bool `[N]`.

    Raises:
        ParameterError: there is no sample, a value is missing, or the lengths differ.

    >>> curve = risk_coverage([1, 2, 2, 3], [1, 1, 0, 0])
    >>> curve.coverage.tolist(), curve.risk.round(4).tolist()
    ([0.25, 0.75, 1.0], [0.0, 0.3333, 0.5])
    """
    values, places, right = _checked(score, correct)
    points = _points(places, right, len(values))
    answered = (points.normal + points.abnormal)[1:]
    return RiskCoverage(values, answered / answered[-1], points.abnormal[1:] / answered)


def aurc(score: ArrayLike, correct: ArrayLike, *, level: float = 0.95, resamples: int = 1000, seed: int = 0) -> Figure:
    """Area under the risk-coverage curve: the mean, over i = 1..N, of the risk on the i samples of lowest score.

    Args:
        score: `[N]`, abnormality scores: higher is more abnormal.
        correct: bool `[N]`.
        level: coverage of the percentile interval, approximately.
        resamples: bootstrap draws of samples.
        seed: of the draws.

    Raises:
        ParameterError: there is no sample, a value is missing, the lengths differ, or a parameter is out of range.

    Source: El-Yaniv & Wiener 2010, JMLR 11; Geifman, Uziel & El-Yaniv 2019, arXiv:1805.08206.

    >>> round(aurc([1, 2, 3, 4], [1, 0, 1, 0]).value, 4)  # (0 + 1/2 + 1/3 + 1/2) / 4
    0.3333
    """
    return _figure(score, correct, _area, level, resamples, seed)


def excess_aurc(
    score: ArrayLike, correct: ArrayLike, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Figure:
    """E-AURC: the area minus that of the best order there is, in which all wrong samples come last; at least 0.

    It compares scores of classifiers that differ in accuracy. The best area is the exact mean of N risks, not its
    limit `r + (1 - r) log(1 - r)` for many samples. Args and Raises are those of `aurc`.

    Source: Geifman, Uziel & El-Yaniv 2019, arXiv:1805.08206.

    >>> round(excess_aurc([1, 2, 3, 4], [1, 0, 1, 0]).value, 4)  # the best: (0 + 0 + 1/3 + 1/2) / 4
    0.125
    """

    def excess(points: OperatingPoints, harmonic: Harmonic) -> Numbers:
        right, n = points.normal[..., -1], points.normal[..., -1] + points.abnormal[..., -1]
        best = (n - right - right * (harmonic(n) - harmonic(right))) / n
        return np.maximum(0.0, _area(points, harmonic) - best)

    return _figure(score, correct, excess, level, resamples, seed)


def accuracy_at_coverage(
    score: ArrayLike,
    correct: ArrayLike,
    coverage: float,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Figure:
    """Accuracy on the samples of lowest score, as many as make up at least this share.

    Args:
        score: `[N]`, abnormality scores: higher is more abnormal.
        correct: bool `[N]`.
        coverage: c in (0, 1]; answered are `ceil(c N)` samples.
        level: coverage of the interval, approximately.
        resamples: bootstrap draws of samples: the threshold is drawn anew too.
        seed: of the draws.

    Returns:
        The figure over N samples: percentiles of the draws, widened to hold Clopper-Pearson's interval at the fixed
        threshold.

    Raises:
        ParameterError: as in `aurc`; the coverage is out of range.

    >>> accuracy_at_coverage([1, 2, 3, 4], [1, 1, 0, 1], 0.5).value
    1.0
    """
    if not 0 < coverage <= 1:
        raise ParameterError(f"coverage must lie in (0, 1], not {coverage}; 0.8 is usual")

    def accuracy(points: OperatingPoints, harmonic: Harmonic) -> Numbers:
        answered = points.normal + points.abnormal
        i = np.ceil(coverage * answered[..., -1] * (1 - ROUNDING))
        after = (answered >= i[..., None] * (1 - ROUNDING)).argmax(-1)[..., None]
        (c0, c1), (e0, e1) = (
            (np.take_along_axis(x, after - 1, -1)[..., 0], np.take_along_axis(x, after, -1)[..., 0])
            for x in (answered, points.abnormal)
        )
        return np.asarray(1 - (e0 + (e1 - e0) * (i - c0) / (c1 - c0)) / i)

    figure = _figure(score, correct, accuracy, level, resamples, seed)
    return at_least_binomial(figure, int(np.ceil(coverage * figure.n * (1 - ROUNDING))), level)


def _area(points: OperatingPoints, harmonic: Harmonic) -> Numbers:
    """AURC `[...]`; over a tie from c0 to c1 answered, `sum_i (e0 + s (i - c0))/i = e + (e0 - s c0)(H(c1) - H(c0))`."""
    answered = points.normal + points.abnormal
    e, c, h = np.diff(points.abnormal), np.diff(answered), np.diff(harmonic(answered))
    s = np.divide(e, c, out=np.zeros_like(e), where=c > 0)
    area = (e + (points.abnormal[..., :-1] - s * answered[..., :-1]) * h).sum(-1)
    return np.asarray(area / answered[..., -1])


def _figure(
    score: ArrayLike,
    correct: ArrayLike,
    value_of: Callable[[OperatingPoints, Harmonic], Numbers],
    level: float,
    resamples: int,
    seed: int,
) -> Figure:
    values, places, right = _checked(score, correct)
    n = len(right)
    table = np.append(0.0, np.cumsum(1 / np.arange(1, n + 1)))

    def harmonic(count: Numbers) -> Numbers:
        return np.asarray(table[count.astype(np.int64)])

    draws = [value_of(points, harmonic) for points in _resampled(places, right, len(values), resamples, seed)]
    own = _points(places, right, len(values))
    # bounds where the share that n of n samples leave open is all wrong, or all right, and answered first
    held = float(clopper_pearson(n, n, level=level)[0])
    shown = [np.append(0.0, held * counts) for counts in (own.normal, own.abnormal)]
    first = np.append(0.0, np.full(len(own.normal), (1 - held) * n))
    extremes = OperatingPoints(shown[0], shown[1] + first), OperatingPoints(shown[0] + first, shown[1])
    ends = [float(value_of(points, _harmonic)) for points in extremes]
    return interval(float(value_of(own, harmonic)), np.concatenate(draws), ends, n, level)


def _harmonic(count: Numbers) -> Numbers:
    """`1 + 1/2 + ... + 1/count`, for fractions of samples too."""
    return np.asarray(special.digamma(count + 1) - special.digamma(1))


def _checked(score: ArrayLike, correct: ArrayLike) -> tuple[Numbers, Indices, Flags]:
    """Distinct scores, each sample's place among them, and correctness, in an order that the rows do not decide."""
    column, right = numbers("score", score), flags("correct", correct)
    same_length(score=column, correct=right)
    order = np.lexsort((right, column))
    values, places = np.unique(column[order], return_inverse=True)
    return values, places.astype(np.int64), right[order]


def _points(places: Indices, right: Flags, size: int) -> OperatingPoints:
    """Right and wrong answers among the k lowest distinct scores."""
    return OperatingPoints(*(cumulated(np.bincount(places[side], minlength=size)) for side in (right, ~right)))


def _resampled(places: Indices, right: Flags, size: int, resamples: int, seed: int) -> Iterator[OperatingPoints]:
    """Bootstrap resamples of samples, right and wrong together, in blocks."""
    check_resamples(resamples)
    rng, cell, n = np.random.default_rng(seed), places + np.where(right, 0, size), len(places)
    rows = rows_at_once(size)
    for first in range(0, resamples, rows):
        counts = [
            np.bincount(cell[rng.integers(n, size=n)], minlength=2 * size) for _ in range(min(rows, resamples - first))
        ]
        block = np.stack(counts)
        yield OperatingPoints(cumulated(block[:, :size]), cumulated(block[:, size:]))
