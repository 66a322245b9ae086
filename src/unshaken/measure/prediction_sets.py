"""Prediction sets: the classes that a model's probabilities cannot rule out, with a promised share that hold the label.

A nonconformity score says how badly a class fits an image; a set holds the classes whose score is at most a threshold,
which is chosen on calibration samples as in `conformal_threshold`. All that is assumed is that calibration samples and
new samples are exchangeable: under a shift the promise may fail, unless the weights of `weighted_thresholds` are known.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.detection.conformal import Threshold, conformal_threshold
from unshaken.measure.statistics.columns import Numbers, integers, numbers, same_length
from unshaken.measure.statistics.intervals import Figure, share
from unshaken.measure.statistics.means import mean_figure

Score = Literal["lac", "aps", "raps"]
_ROUNDING = 1e-6  # by which probabilities that were float32 may miss a sum of 1, for each class


def set_scores(
    probabilities: ArrayLike, score: Score = "aps", *, draws: ArrayLike | None = None, penalty: float = 0.01,
    free: int = 5,
) -> Numbers:  # fmt: skip
    """Nonconformity scores of every class.

    With `r_k` the rank of class k, 1 for the most probable (of equal classes the first one comes first), and `P_k` the
    sum of the probabilities of ranks 1 to `r_k`:

    - `lac`: `1 - p_k`. The smallest sets on average; some may be empty.
    - `aps`: `P_k - u p_k`. Sets grow with the difficulty of the image.
    - `raps`: `aps` plus `penalty * max(0, r_k - free)`, which keeps improbable classes out.

    Args:
        probabilities: `[N, K]`, each row sums to 1.
        score: `lac`, `aps` or `raps`.
        draws: u of each sample in [0, 1], `[N]`, uniform and independent of all else: coverage is then exact but for
            1/(n + 1). None for u = 0, where sets are larger than the promise needs.
        penalty: of `raps`, for each rank beyond `free`; at least 0.
        free: ranks without a penalty; at least 0.

    Returns:
        float64 `[N, K]`.

    Raises:
        ParameterError: an unknown score; rows that are no probabilities; draws or a parameter out of range.

    Source: Sadinle, Lei & Wasserman 2019, JASA 114 (lac); Romano, Sesia & Candes 2020, arXiv:2006.02544 (aps);
    Angelopoulos et al. 2021, arXiv:2009.14193 (raps).

    >>> set_scores([[0.6, 0.1, 0.3]], "aps").round(6).tolist()
    [[0.6, 1.0, 0.9]]
    >>> set_scores([[0.6, 0.1, 0.3]], "raps", draws=[0.5], penalty=0.2, free=1).round(6).tolist()
    [[0.3, 1.35, 0.95]]
    """
    p = _probabilities(probabilities)
    if score not in ("lac", "aps", "raps"):
        raise ParameterError(f"score {score!r} is not one of ['aps', 'lac', 'raps']")
    if not 0 <= penalty < math.inf or free < 0:
        raise ParameterError(f"penalty={penalty} and free={free} must be at least 0; 0.01 and 5 are usual")
    u = np.zeros(len(p)) if draws is None else numbers("draws", draws, low=0, high=1)
    same_length(probabilities=p, draws=u)
    if score == "lac":
        return 1 - p
    order = np.argsort(-p, axis=1, kind="stable")
    ranks, found = np.arange(1, p.shape[1] + 1), np.empty_like(p)
    ordered = np.take_along_axis(p, order, 1)
    values = ordered.cumsum(1) - u[:, None] * ordered
    if score == "raps":
        values += penalty * np.maximum(0, ranks - free)
    np.put_along_axis(found, order, values, 1)
    return found


def _probabilities(values: ArrayLike) -> Numbers:
    p = np.asarray(values, np.float64)
    if p.ndim != 2 or not p.size:
        raise ParameterError(f"probabilities must have the shape [N, K] with a sample and a class, not {p.shape}")
    wrong = ~((p >= 0).all(1) & (np.abs(p.sum(1) - 1) <= _ROUNDING * (p.shape[1] + 1)))  # NaN is wrong as well
    if wrong.any():
        raise ParameterError(
            f"each row of probabilities must be at least 0 and sum to 1, but {wrong.sum()} of {len(p)} do not, such as "
            f"number {int(wrong.argmax())} with the sum {p[wrong.argmax()].sum():g}; apply softmax to logits first"
        )
    return p


def own_scores(scores: ArrayLike, labels: ArrayLike) -> Numbers:
    """The score of each sample's label, `[N]`: what thresholds are chosen on.

    Args:
        scores: `[N, K]`, of `set_scores`.
        labels: `[N]`, in 0..K-1.

    Raises:
        ParameterError: a label is none of the classes, or the lengths differ.
    """
    table, own = np.asarray(scores, np.float64), integers("labels", labels)
    same_length(scores=table, labels=own)
    outside = (own < 0) | (own >= table.shape[1])
    if outside.any():
        raise ParameterError(f"labels must lie in 0..{table.shape[1] - 1}, but {own[outside][0]} does not")
    return np.asarray(table[np.arange(len(own)), own])


def group_thresholds(
    calibration: ArrayLike, groups: Sequence[Hashable], coverage: float = 0.9, *, confidence: float | None = None
) -> dict[Hashable, Threshold]:
    """A threshold for each group: the promise holds in each of them, and not on average alone (Mondrian).

    Sets by class take the label as the group: class k is in a set when its score is at most the threshold of group k.

    Args:
        calibration: score of each calibration sample's label, `[n]`.
        groups: of each calibration sample: a class, a camera, any column.
        coverage: promised share of sets that hold the label, in (0, 1).
        confidence: as for `conformal_threshold`.

    Returns:
        Group to threshold, infinite where the group's samples are too few for the promise: its sets then hold all.

    Raises:
        ParameterError: there is no sample, a score is missing, lengths differ, or a share is out of range.

    Source: Vovk 2012, ACML (conditional validity of inductive conformal predictors).

    >>> found = group_thresholds([*range(1, 10), 5], ["day"] * 9 + ["night"], 0.8)
    >>> found["day"].value, found["night"].value
    (8.0, inf)
    """
    scores = numbers("calibration", calibration)
    if len(groups) != len(scores):
        raise ParameterError(f"{len(scores)} calibration scores and {len(groups)} groups: give one each")
    members = dict[Hashable, list[int]]()
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    return {g: conformal_threshold(scores[own], coverage, confidence=confidence) for g, own in members.items()}


def weighted_thresholds(
    calibration: ArrayLike, weights: ArrayLike, new_weights: ArrayLike, coverage: float = 0.9
) -> Numbers:
    """A threshold for each new sample under a covariate shift with known likelihood ratios.

    With `w` the density of images after the shift over that before it, the threshold of a new image x is the least s
    with `sum_{s_i <= s} w(x_i) >= coverage * (sum_i w(x_i) + w(x))`; infinity where no s has it. With equal weights it
    is that of `conformal_threshold`. The promise is exact for exact ratios; estimated ones make it approximate.

    Args:
        calibration: score of each calibration sample's label, `[n]`.
        weights: of the calibration samples, at least 0 and not all 0, `[n]`; any common factor cancels.
        new_weights: of the new samples, `[N]`.
        coverage: promised share of sets that hold the label, in (0, 1).

    Returns:
        float64 `[N]`.

    Raises:
        ParameterError: a value is missing, infinite or out of range, or lengths differ.

    Source: Tibshirani et al. 2019, arXiv:1904.06019, section 2.

    >>> weighted_thresholds([1, 2, 3, 4], [1, 1, 1, 1], [1, 100], 0.8).tolist()
    [4.0, inf]
    """
    scores, most = numbers("calibration", calibration), float(np.finfo(np.float64).max)
    w, new = numbers("weights", weights, low=0, high=most), numbers("new_weights", new_weights, low=0, high=most)
    same_length(calibration=scores, weights=w)
    if not 0 < coverage < 1:
        raise ParameterError(f"coverage must lie inside (0, 1), not {coverage}; 0.9 is usual")
    if not w.sum() > 0:
        raise ParameterError("weights are all 0: the calibration samples say nothing of the new ones")
    scale = w.max()
    order = np.argsort(scores, kind="stable")
    values, mass = scores[order], (w[order] / scale).cumsum()
    needed = coverage * (mass[-1] + new / scale)
    place = np.searchsorted(mass, needed * (1 - 1e-12), side="left")  # a sum that is needed exactly may be rounded up
    return np.asarray(np.append(values, math.inf)[place])


def effective_samples(weights: ArrayLike) -> float:
    """Number of samples of equal weight that say as much: `(sum w)^2 / sum w^2`, in [1, n].

    >>> effective_samples([1, 1, 1, 1]), effective_samples([1, 0, 0, 0])
    (4.0, 1.0)
    """
    w = numbers("weights", weights, low=0, high=float(np.finfo(np.float64).max))
    if not w.max() > 0:
        raise ParameterError("weights are all 0: no sample is left")
    w = w / w.max()
    return float(w.sum() ** 2 / (w**2).sum())


def set_figures(sets: ArrayLike, labels: ArrayLike, *, level: float = 0.95) -> dict[str, Figure]:
    """Coverage and size of prediction sets.

    Args:
        sets: which classes each set holds, bool `[N, K]`.
        labels: `[N]`, in 0..K-1.
        level: of the intervals.

    Returns:
        `coverage`, the share of sets that hold the label; `set_size`, their mean number of classes; `single`, the
        share with one class exactly; `empty`, the share with none.

    Raises:
        ParameterError: there is no set, a label is none of the classes, or lengths differ.

    >>> found = set_figures([[True, False], [True, True]], [1, 1])
    >>> found["coverage"].value, found["set_size"].value
    (0.5, 1.5)
    """
    held = np.asarray(sets)
    if held.ndim != 2 or held.dtype != np.bool_ or not held.size:
        raise ParameterError(f"sets must be bool of the shape [N, K] and hold one, not {held.dtype} {held.shape}")
    covered, size = own_scores(held, labels), held.sum(1)
    n = len(size)
    return {
        "coverage": share(int(covered.sum()), n, level=level),
        "set_size": mean_figure(size, low=0.0, high=float(held.shape[1]), level=level),
        "single": share(int((size == 1).sum()), n, level=level),
        "empty": share(int((size == 0).sum()), n, level=level),
    }


def risk_threshold(losses: ArrayLike, risk: float, *, most: float = 1.0) -> int | None:
    """The first step of a growing prediction whose expected loss on a new sample is at most `risk`.

    The least t with `n/(n + 1) R(t) + most/(n + 1) <= risk`, R(t) the mean loss of step t: over calibration and new
    sample together the loss at t is then at most `risk` on average.

    Args:
        losses: of each calibration sample at each step, in [0, most] and never rising along the steps, `[n, T]`, such
            as `missed_shares` of a mask at falling thresholds.
        risk: promised mean loss, in (0, most).
        most: the largest loss there can be.

    Returns:
        The step, 0..T-1; None where no step keeps the promise (with `n < most/risk - 1` none can).

    Raises:
        ParameterError: losses are missing, out of range or rise; the risk is out of range.

    Source: Angelopoulos et al. 2024, arXiv:2208.02814 (conformal risk control), theorem 1.

    >>> risk_threshold([[1.0, 0.5, 0.0]] * 9, 0.3), risk_threshold([[1.0, 0.0]] * 2, 0.3)
    (2, None)
    """
    table = np.asarray(losses, np.float64)
    if table.ndim != 2 or not table.size:
        raise ParameterError(f"losses must have the shape [n, T] with a sample and a step, not {table.shape}")
    if not 0 < risk < most < math.inf:
        raise ParameterError(f"risk={risk} must lie between 0 and the largest loss, {most}; 0.1 of 1 is usual")
    if not ((table >= 0) & (table <= most)).all():
        raise ParameterError(f"losses must lie in [0, {most:g}], and none may be missing")
    if (np.diff(table, axis=1) > 0).any():
        raise ParameterError("losses must never rise along the steps: order the steps from the least to the most held")
    n = len(table)
    kept = np.flatnonzero(table.sum(0) + most <= risk * (n + 1) * (1 + 1e-12))
    return int(kept[0]) if kept.size else None


def missed_shares(probabilities: ArrayLike, mask: ArrayLike, thresholds: ArrayLike) -> Numbers:
    """Share of a mask's pixels that a prediction misses (false-negative share) at each threshold.

    Args:
        probabilities: of each pixel to belong to the object, in [0, 1], any shape.
        mask: which pixels do, bool of the same shape; a mask without a pixel misses none.
        thresholds: a pixel is predicted where its probability is at least this, `[T]`.

    Returns:
        `[T]` in [0, 1].

    Raises:
        ParameterError: shapes differ, a value is missing, or a probability is out of range.

    >>> missed_shares([[0.9, 0.4], [0.2, 0.8]], [[True, True], [False, True]], [0.95, 0.5, 0.1]).round(4).tolist()
    [1.0, 0.3333, 0.0]
    """
    p, own = np.asarray(probabilities, np.float64), np.asarray(mask)
    if p.shape != own.shape or own.dtype != np.bool_ or not p.size:
        raise ParameterError(f"a mask must be bool of the probabilities' shape {p.shape}, not {own.dtype} {own.shape}")
    inside = np.sort(numbers("probabilities", p.ravel(), low=0, high=1)[own.ravel()])
    return np.searchsorted(inside, numbers("thresholds", thresholds), side="left") / max(1, len(inside))


def box_margin(predicted: Mapping[str, ArrayLike], truth: Mapping[str, ArrayLike], coverage: float = 0.9) -> Threshold:
    """Pixels by which to widen predicted boxes so that all boxes of an image hold their objects, with a promised share.

    The score of an image is the largest distance by which an object reaches over its box on any side; boxes of one
    image are not exchangeable with each other, and images are. Only matched boxes count: that an object is found at
    all is not promised.

    Args:
        predicted: image id to its boxes `[M, 4]` as x1, y1, x2, y2 in pixels, one for each object of `truth`.
        truth: image id to the objects' boxes, in the same order.
        coverage: promised share of images, in (0, 1).

    Returns:
        The threshold; its value is the margin, negative where boxes may shrink.

    Raises:
        ParameterError: ids or shapes differ, an image has no box, or a number is missing.

    Source: Andeol et al. 2023, PMLR 204 (maximum of the additive margins); de Grancey et al. 2022, SAFECOMP.

    >>> box_margin({"a": [[2, 2, 8, 8]]}, {"a": [[1, 2, 8, 11]]}, 0.5).value
    3.0
    """
    if predicted.keys() != truth.keys():
        raise ParameterError(f"boxes of {len(predicted)} images and objects of {len(truth)}: ids must be the same")
    scores = []
    for id, boxes in predicted.items():
        p, t = np.asarray(boxes, np.float64), np.asarray(truth[id], np.float64)
        if p.shape != t.shape or p.ndim != 2 or p.shape[1] != 4 or not len(p):
            raise ParameterError(
                f"image {id!r}: boxes {p.shape} and objects {t.shape} must both be [M, 4] with one at least"
            )
        scores.append(np.concatenate([p[:, :2] - t[:, :2], t[:, 2:] - p[:, 2:]], 1).max())
    return conformal_threshold(scores, coverage)
