"""Detectors of wrong labels among the samples of a training: by two groups of losses, by a line, by neighbours."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.core.imports import need
from unshaken.measure.statistics.columns import Flags, Indices, Numbers

_SCORES = 1 << 24
"""Similarities held at once."""


def nearest(features: NDArray[np.floating], k: int) -> tuple[Indices, Numbers]:
    """The k nearest of the other samples by cosine, in blocks.

    Args:
        features: `[N, D]`.
        k: fewer than N.

    Returns:
        Their indices, int `[N, k]`, and cosines `[N, k]`; not sorted.
    """
    unit = np.asarray(features, np.float32)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    found, cosine = np.empty((len(unit), k), np.int64), np.empty((len(unit), k))
    step = max(1, _SCORES // len(unit))
    for start in range(0, len(unit), step):
        part = slice(start, min(start + step, len(unit)))
        similarity = unit[part] @ unit.T
        similarity[np.arange(len(similarity)), np.arange(part.start, part.stop)] = -np.inf
        found[part] = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        cosine[part] = np.take_along_axis(similarity, found[part], 1)
    return found, cosine


STEPS = 10
TOLERANCE = 1e-2
SPREAD = 5e-4
"""Added to each variance, of values in [0, 1]."""


def posterior_of_low(values: Numbers) -> Numbers:
    """The probability that each value is of the component with the lower mean.

    Values are brought to [0, 1] first. The fit begins at the lower and the upper half, and ends after ten steps or when
    the mean log-likelihood gains less than a hundredth, as DivideMix sets its own.

    Args:
        values: `[N]`; all equal ones are all of the lower component.
    """
    span = values.max() - values.min()
    if span == 0:
        return np.ones(len(values))
    x = (values - values.min()) / span
    low: Numbers = (x <= np.median(x)).astype(np.float64)
    before = -np.inf
    for _ in range(STEPS):
        weight = np.stack([low, 1 - low])
        total = weight.sum(1) + 1e-12
        mean = weight @ x / total
        variance = (weight * (x - mean[:, None]) ** 2).sum(1) / total + SPREAD
        log = -0.5 * ((x - mean[:, None]) ** 2 / variance[:, None] + np.log(2 * np.pi * variance[:, None]))
        log += np.log(total / len(x))[:, None]
        both = np.logaddexp(*log)
        low = np.exp(log[int(mean.argmin())] - both)
        if abs(both.mean() - before) < TOLERANCE:
            break
        before = both.mean()
    return low


@dataclass(frozen=True, slots=True)
class Detection:
    """The scores and decisions of a detector of wrong labels.

    Args:
        score: the larger, the more suspect, in [0, 1], `[N]`.
        flagged: which samples it takes for wrong, bool `[N]`.
    """

    score: Numbers
    flagged: Flags


def detect_by_loss(losses: Numbers, threshold: float = 0.95, share: float = 0.0) -> Detection:
    """Small loss: the posterior that a loss is of the larger of two groups.

    Args:
        losses: of the given labels, finite, `[N]`.
        threshold: posterior above which a sample is flagged.
        share: of the samples that are flagged, those of the largest losses, in the place of the threshold; 0 for that.

    Source: Li, Socher & Hoi 2020, arXiv:2002.07394.
    """
    score = 1 - posterior_of_low(losses)
    return Detection(score, losses > np.quantile(losses, 1 - share) if share else score > threshold)


def detect_linearly(features: NDArray[Any], suspect: Flags, trusted: Flags | None = None) -> Detection | None:
    """Linear separation: the line between trusted and suspect samples decides anew of all of them.

    Features are brought to length 1, then to mean 0 and deviation 1. A logistic regression without penalty, in which
    both sets weigh alike, is fitted to the sets; wrong decisions of another detector average out in it.

    Args:
        features: of a network that labels have not shaped, `[N, D]`.
        suspect: the decision of another detector, bool `[N]`; or what is known of the samples that are trusted.
        trusted: samples to fit the line to, such as some that people have looked at, bool `[N]`; default all.

    Returns:
        Probability of being suspect, flagged above 0.5; None where all samples to fit to or none are suspect, so that
        there is nothing to separate.

    Raises:
        MissingExtra: scikit-learn is absent.

    Source: Albert et al. 2024, arXiv:2407.05528, the official code.
    """
    rows = np.ones(len(suspect), bool) if trusted is None else trusted
    if suspect[rows].all() or not suspect[rows].any():
        return None
    linear: Any = need("sklearn.linear_model", "scikit-learn", "labels", "linear separation")
    unit = np.asarray(features, np.float64)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    normal = (unit - unit.mean(0)) / np.maximum(unit.std(0), 1e-12)
    model = linear.LogisticRegression(C=np.inf, class_weight="balanced", max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sets that a line separates have no best one: any of them serves
        model.fit(normal[rows], suspect[rows])
    score: Numbers = model.predict_proba(normal)[:, 1]
    return Detection(score, score > 0.5)


def detect_by_neighbours(
    projections: NDArray[Any],
    probabilities: Numbers,
    labels: Indices,
    *,
    k: int = 200,
    tau: float = 0.3,
    threshold: float = 0.98,
) -> Detection:
    """Neighbours in feature space: labels that neither the nearest samples' predictions nor the own one share.

    `v_i` is the sum over the k nearest samples j of `exp(cos(z_i, z_j) / tau) p_j`, brought to sum 1, and the score
    `1 - (v_i + p_i)[y_i] / 2`.

    Args:
        projections: z, `[N, P]`.
        probabilities: p, of the network, `[N, K]`.
        labels: y, as given, int `[N]`.
        k: neighbours of each sample; all others where there are fewer.
        tau: temperature.
        threshold: score above which a sample is flagged.

    Source: Li, Xiong & Hoi 2021, ICCV, as Albert et al. 2024 take it, arXiv:2407.05528.
    """
    near, cosine = nearest(projections, min(k, len(labels) - 1))
    votes = np.einsum("nk,nkc->nc", np.exp(cosine / tau), probabilities[near])
    soft = (votes / votes.sum(1, keepdims=True) + probabilities) / 2
    score: Numbers = 1 - soft[np.arange(len(labels)), labels]
    return Detection(score, score > threshold)


def guess_weights(losses: Numbers, flagged: Flags) -> Numbers:
    """How far the guess of each flagged sample is trusted: the posterior that its loss is of the smaller of two groups.

    Args:
        losses: of the prediction against the guess stored before, `[N]`; infinite ones count as the second largest.
        flagged: bool `[N]`; the others weigh 1.

    Returns:
        `[N]` in [0, 1]; all 1 where fewer than three samples are flagged or a loss of theirs is NaN.

    Source: Albert et al. 2023, arXiv:2210.04578, the official code.
    """
    weights, own = np.ones(len(losses)), losses[flagged].copy()
    if len(own) < 3 or np.isnan(own).any():
        return weights
    finite = own[np.isfinite(own)]
    own[~np.isfinite(own)] = finite.max() if len(finite) else 0.0
    weights[flagged] = posterior_of_low(own)
    return weights
