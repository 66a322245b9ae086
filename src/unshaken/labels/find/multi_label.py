"""Wrong labels where a sample may have several classes: each class is examined by itself, against all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from unshaken.core.errors import DataError
from unshaken.labels.engine.confident_joint import class_thresholds, lowest
from unshaken.labels.engine.finder import Evidence
from unshaken.labels.engine.probabilities import Probabilities
from unshaken.labels.find.confident_learning import ConfidentLearning, Filter
from unshaken.measure.statistics.columns import Flags, Numbers

Score = Literal["self-confidence", "normalized-margin", "confidence-weighted-entropy"]
Pool = Literal["moving-average", "softmin"]
ALPHA, TEMPERATURE = 0.8, 0.1
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class MultiLabelScores:
    """The scores of samples that may have several classes.

    Args:
        score: how likely all labels of a sample are right, `[N]`: the lower the more suspect.
        class_scores: the same of each class, given or not, `[N, K]`.
        flagged: samples that are taken for wrong, bool `[N]`.
        class_flagged: which class of a sample is, bool `[N, K]`: given and wrong, or lacking.
    """

    score: Numbers
    class_scores: Numbers
    flagged: Flags
    class_flagged: Flags


def find_multi_label(
    labels: ArrayLike,
    probabilities: NDArray[Any],
    *,
    method: Score = "self-confidence",
    pool: Pool = "moving-average",
    adjust: bool = False,
    filter: Filter = "prune-by-noise-rate",
) -> MultiLabelScores:
    """Score and flag the labels of samples that may have several classes, or none.

    Class k of a sample is examined as a problem of two classes with the probabilities `(1 - p_k, p_k)`. The columns of
    mapped probabilities are read one at a time.

    Args:
        labels: whether each class is given, 0 or 1, `[N, K]`.
        probabilities: of each class, out of sample, in [0, 1], `[N, K]`; rows need not sum to 1.
        method: score of a class.
        pool: score of a sample from those of its classes; see `moving_average` and `softmin`.
        adjust: subtract each class's mean probability first, for rare classes; not for the entropy.
        filter: by which labels are flagged; see `ConfidentLearning`. The two that begin with `low` flag as many samples
            as `confident-learning` does.

    Raises:
        DataError: shapes differ, or a value is not allowed.

    Source: Thyagarajan et al. 2022, arXiv:2211.13895; scores and flags are those of cleanlab 2.9.
    """
    given = check_multi_label(labels, probabilities)
    if adjust and method == "confidence-weighted-entropy":
        raise DataError("adjust does not go with confidence-weighted-entropy: choose another score")
    scores, own = np.empty(given.shape), np.empty(given.shape)
    flagged, confident = np.zeros(given.shape, bool), np.zeros(given.shape, bool)
    for k in range(given.shape[1]):
        label, p = given[:, k].astype(np.int64), np.asarray(probabilities[:, k], np.float64)
        two = np.stack([1 - p, p], 1)
        own[:, k] = two[np.arange(len(p)), label]
        adjusted = two
        if adjust:
            thresholds = class_thresholds(own[:, k], label, 2)
            adjusted = two - thresholds + thresholds.max()
            adjusted = adjusted / adjusted.sum(1, keepdims=True)
        scores[:, k] = _SCORES[method](label, adjusted)
        evidence = Evidence(label, 2, Probabilities(two, f"class {k}"))
        flagged[:, k] = np.asarray(ConfidentLearning(filter=filter).find(evidence).flagged)
        if filter.startswith("low-"):
            confident[:, k] = np.asarray(ConfidentLearning(filter="confident-learning").find(evidence).flagged)
    samples: Flags = np.asarray(flagged.any(1))
    if filter.startswith("low-"):
        samples = lowest(moving_average(own), int(confident.any(1).sum()))
    return MultiLabelScores(POOLS[pool](scores), scores, samples, flagged)


def check_multi_label(labels: ArrayLike, probabilities: NDArray[Any]) -> NDArray[np.bool_]:
    """Labels as bool `[N, K]`, checked against probabilities.

    Args:
        labels: 0 or 1, `[N, K]`.
        probabilities: in [0, 1], `[N, K]`.

    Raises:
        DataError: shapes differ, or a value is not allowed.
    """
    given = np.asarray(labels)
    if given.ndim != 2 or not given.size or given.shape != np.shape(probabilities):
        raise DataError(
            f"labels have the shape {given.shape}, probabilities {np.shape(probabilities)}: both must be one row a "
            "sample, one column a class"
        )
    if not np.isin(given, (0, 1)).all():
        raise DataError("labels of several classes must be 0 or 1, one column a class")
    for start in range(0, len(given), 65536):
        block = np.asarray(probabilities[start : start + 65536], np.float64)
        bad = ~((block >= 0) & (block <= 1))  # NaN is bad too
        if bad.any():
            row, k = (int(i[0]) for i in np.nonzero(bad))
            raise DataError(
                f"probabilities: row {start + row}, class {k} has {block[row, k]:g}; needed are numbers in [0, 1] "
                "(are these logits?)"
            )
    return given.astype(bool)


def moving_average(scores: Numbers, alpha: float = ALPHA) -> Numbers:
    """Exponential moving average over the classes from the best to the worst, which weighs most.

    Args:
        scores: `[N, K]`.
        alpha: weight of each next score, in [0, 1]; 1 is the minimum.

    >>> moving_average(np.array([[0.5, 1.0]])).round(3).tolist()
    [0.6]
    """
    ordered = np.sort(scores, 1)[:, ::-1]
    found: Numbers = ordered[:, 0]
    for k in range(1, scores.shape[1]):
        found = alpha * ordered[:, k] + (1 - alpha) * found
    return found


def softmin(scores: Numbers, temperature: float = TEMPERATURE) -> Numbers:
    """The mean of scores with the weights `softmax((1 - s) / T)`: near the lowest for a low temperature.

    Args:
        scores: `[N, K]`.
        temperature: T, above 0.

    >>> softmin(np.array([[0.5, 1.0]])).round(3).tolist()
    [0.503]
    """
    return np.asarray((scores * special.softmax((1 - scores) / temperature, 1)).sum(1))


POOLS: Mapping[str, Callable[[Numbers], Numbers]] = {"moving-average": moving_average, "softmin": softmin}


def _own(label: NDArray[np.int64], two: Numbers) -> Numbers:
    return two[np.arange(len(two)), label]


def _margin(label: NDArray[np.int64], two: Numbers) -> Numbers:
    own = _own(label, two)
    return (own - two[np.arange(len(two)), 1 - label] + 1) / 2


def _entropy(label: NDArray[np.int64], two: Numbers) -> Numbers:
    weighted = special.entr(two).sum(1) / np.log(2) / np.maximum(_own(label, two), _LEAST)
    found = np.ones(len(weighted))
    np.divide(np.log1p(weighted), weighted, out=found, where=weighted > 0)
    return found


_SCORES: Mapping[str, Callable[[NDArray[np.int64], Numbers], Numbers]] = {
    "self-confidence": _own,
    "normalized-margin": _margin,
    "confidence-weighted-entropy": _entropy,
}
