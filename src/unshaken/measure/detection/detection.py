"""Figures of a detector from the scores of normal and abnormal samples: both FPR@95, AUPR, detection accuracy.

A score is an abnormality score: higher is more abnormal. Papers that speak of confidences (higher is more normal) mean
minus this score; what they accept as `confidence >= t` is accepted here as `score <= -t`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.measure.detection.operating_points import Measure, figures_of, interval, levels, resampled, statistics_at
from unshaken.measure.detection.ranking import auroc
from unshaken.measure.statistics.columns import same_length
from unshaken.measure.statistics.intervals import Figure, percent

Positive = Literal["normal", "abnormal"]


@dataclass(frozen=True, slots=True)
class Aupr:
    """Area under the precision-recall curve as step-wise average precision.

    Args:
        figure: the area, in (0, 1].
        baseline: share of the positives among all samples: what a score without information has on average.
    """

    figure: Figure
    baseline: float


@dataclass(frozen=True, slots=True)
class Detection:
    """How well a score tells abnormal samples from normal ones.

    Args:
        n_normal: normal samples.
        n_abnormal: abnormal samples.
        at: the share that both FPR figures hold fixed; 0.95 gives them their name.
        auroc: as `ranking.auroc`.
        aupr_normal: average precision with the normal as positives (the field's AUPR-in).
        aupr_abnormal: average precision with the abnormal as positives (AUPR-out).
        fpr95_id_accept: share of the abnormal accepted when `at` of the normal are accepted.
        fpr95_ood_recall: share of the normal flagged when `at` of the abnormal are flagged.
        detection_accuracy: the best mean of accepted normal and flagged abnormal.
    """

    n_normal: int
    n_abnormal: int
    at: float
    auroc: Figure
    aupr_normal: Aupr
    aupr_abnormal: Aupr
    fpr95_id_accept: Figure
    fpr95_ood_recall: Figure
    detection_accuracy: Figure


def detection(
    normal: ArrayLike,
    abnormal: ArrayLike,
    *,
    at: float = 0.95,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Detection:
    """All figures at once, from one sort and one set of resamples.

    Args:
        normal: `[n]`, abnormality scores: higher is more abnormal; infinity is a rank like any other.
        abnormal: `[m]`.
        at: in (0, 1]: the share that both FPR figures hold fixed.
        level: coverage of each interval, approximately: DeLong's for the AUROC, the bootstrap's for all else. Simulated
            normal scores at 95%: 0.89 to 0.97 from 100 + 100 samples on.
        resamples: bootstrap draws, each group on its own, so that thresholds are drawn anew too.
        seed: of the draws.

    Raises:
        ParameterError: a group is empty or has missing values; a parameter is out of range.

    >>> d = detection([0.1, 0.2, 0.3, 0.6], [0.4, 0.5, 0.9])
    >>> round(d.auroc.value, 4), d.fpr95_id_accept.value, d.fpr95_ood_recall.value, d.detection_accuracy.value
    (0.8333, 0.6666666666666666, 0.25, 0.875)
    """
    scores = levels(normal, abnormal)
    figures = figures_of(scores, statistics_at(at), level=level, resamples=resamples, seed=seed)
    n, m = len(scores.normal), len(scores.abnormal)
    return Detection(
        n,
        m,
        at,
        auroc(scores.normal, scores.abnormal, level=level),
        Aupr(figures["aupr_normal"], n / (n + m)),
        Aupr(figures["aupr_abnormal"], m / (n + m)),
        figures["fpr95_id_accept"],
        figures["fpr95_ood_recall"],
        figures["detection_accuracy"],
    )


def fpr95_id_accept(
    normal: ArrayLike,
    abnormal: ArrayLike,
    *,
    at: float = 0.95,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Figure:
    """Share of the abnormal ACCEPTED by the lowest threshold that accepts at least `at` of the normal.

    The meaning of the ODIN, Mahalanobis and energy papers, where the normal are the positives. TNR@95 is 1 minus this.
    Args, Raises and the draws are those of `detection`.

    Returns:
        The figure over n + m samples: percentiles of the draws, widened to hold Clopper-Pearson's interval at the
        fixed threshold.

    >>> fpr95_id_accept([1, 2, 3, 4], [3, 5, 6, 7], at=0.75).value
    0.25
    """
    return _one("fpr95_id_accept", normal, abnormal, at, level, resamples, seed)


def fpr95_ood_recall(
    normal: ArrayLike,
    abnormal: ArrayLike,
    *,
    at: float = 0.95,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Figure:
    """Share of the normal FLAGGED by the highest threshold that flags at least `at` of the abnormal.

    The meaning of OpenOOD since August 2023 and of pytorch-ood, where the abnormal are the positives. Args, Raises and
    the interval are those of `fpr95_id_accept`.

    >>> fpr95_ood_recall([1, 2, 3, 4], [3, 5, 6, 7], at=1).value
    0.5
    """
    return _one("fpr95_ood_recall", normal, abnormal, at, level, resamples, seed)


def aupr(
    normal: ArrayLike,
    abnormal: ArrayLike,
    *,
    positive: Positive = "abnormal",
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Aupr:
    """Step-wise average precision `sum_k (R_k - R_{k-1}) P_k`, tied scores taken together.

    Args:
        normal: `[n]`, abnormality scores: higher is more abnormal.
        abnormal: `[m]`.
        positive: whose retrieval is measured: the abnormal from the highest score down (AUPR-out), or the normal from
            the lowest up (AUPR-in).
        level: as in `detection`.
        resamples: as in `detection`; the prevalence stays that of the samples.
        seed: as in `detection`.

    Raises:
        ParameterError: as in `detection`; `positive` is neither.
    """
    if positive not in ("normal", "abnormal"):
        raise ParameterError(f"positive {positive!r} is not one of ['normal', 'abnormal']")
    measure: Measure = "aupr_normal" if positive == "normal" else "aupr_abnormal"
    figure = _one(measure, normal, abnormal, 1.0, level, resamples, seed)
    return Aupr(figure, len(np.asarray(normal if positive == "normal" else abnormal)) / figure.n)


def detection_accuracy(
    normal: ArrayLike, abnormal: ArrayLike, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Figure:
    """`max_t 0.5 (share of normal accepted + share of abnormal flagged)`, at least 0.5; detection error is 1 minus it.

    The threshold is chosen on the samples that measure it: the figure is biased upwards, in small groups by several
    hundredths. Its interval takes off the bias that the bootstrap shows, and is widened to hold the value; it covers
    less often (0.86 at 95%, 100 + 100 samples) where the score knows nothing. Args and Raises are those of `detection`.
    """
    return _one("detection_accuracy", normal, abnormal, 1.0, level, resamples, seed)


def paired_bootstrap(
    measure: Measure,
    normal_a: ArrayLike,
    abnormal_a: ArrayLike,
    normal_b: ArrayLike,
    abnormal_b: ArrayLike,
    *,
    at: float = 0.95,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Figure:
    """Difference of a measure, detector b minus detector a, on the same samples in the same order.

    Args:
        measure: a name of `Measure`.
        normal_a: `[n]`, scores of the first detector.
        abnormal_a: `[m]`.
        normal_b: `[n]`, scores of the second detector on the same samples.
        abnormal_b: `[m]`.
        at: for the FPR figures.
        level: coverage of the percentile interval, approximately.
        resamples: bootstrap draws of samples, the same for both detectors.
        seed: of the draws.

    Raises:
        ParameterError: as in `detection`; the detectors differ in their number of samples; an unknown measure.
    """
    percent(level)
    statistics = statistics_at(at)
    if measure not in statistics:
        raise ParameterError(f"there is no measure {measure!r}; {did_you_mean(str(measure), statistics)}")
    a, b, value_of = levels(normal_a, abnormal_a), levels(normal_b, abnormal_b), statistics[measure]
    same_length(normal_a=a.normal, normal_b=b.normal)
    same_length(abnormal_a=a.abnormal, abnormal_b=b.abnormal)
    draws = [value_of(y) - value_of(x) for x, y in resampled(a, b, resamples=resamples, seed=seed)]
    ends = [float(value_of(y) - value_of(x)) for x in a.extremes(level) for y in b.extremes(level)]
    value = float(value_of(b.points()) - value_of(a.points()))
    return interval(value, np.concatenate(draws), ends, a.n, level)


def _one(
    measure: Measure, normal: ArrayLike, abnormal: ArrayLike, at: float, level: float, resamples: int, seed: int
) -> Figure:
    chosen = {measure: statistics_at(at)[measure]}
    return figures_of(levels(normal, abnormal), chosen, level=level, resamples=resamples, seed=seed)[measure]
