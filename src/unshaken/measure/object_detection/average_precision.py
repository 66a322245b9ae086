"""Average precision as COCO has it, on the images as they are or resampled: all from one matching."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.object_detection.matching import AREAS, Matches
from unshaken.measure.statistics.columns import Indices, Numbers

RECALLS: Numbers = np.linspace(0, 1, 101)
"""Recall at which precision is read."""


def average_precision(matched: Matches, weights: ArrayLike | None = None, *, area: str = "all") -> Numbers:
    """Average precision of each class at each threshold.

    The precision at a recall is the highest at this recall or a higher one; the average is over 101 recalls.

    Args:
        matched: detections and objects.
        weights: how often each image counts, whole numbers `[..., N]`, float32 for speed; None for once each.
            Detections of equal scores keep the images' order, as they do in the reference.
        area: a name of `AREAS`.

    Returns:
        float64 `[..., T, K]`; NaN of a class without objects.

    Raises:
        ParameterError: an unknown range of areas, or weights of another number of images.

    >>> from unshaken.measure.object_detection.matching import Detections, Objects, match_images
    >>> box = np.array([[0.0, 0, 10, 10]])
    >>> truth = Objects(np.array([[1.0, 1, 11, 11]]), np.array([0]), np.array([False]))
    >>> found = match_images([Detections(box, np.array([0]), np.array([0.9]))], [truth], 1)
    >>> average_precision(found)[:, 0].round(6).tolist()
    [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    if area not in AREAS:
        raise ParameterError(f"area {area!r} is not one of {', '.join(AREAS)}")
    counts = np.ones(matched.images) if weights is None else np.asarray(weights)
    counts = counts if counts.dtype == np.float32 else counts.astype(np.float64)
    if counts.shape[-1:] != (matched.images,):
        raise ParameterError(f"weights must be of {matched.images} images, not of shape {counts.shape}")
    flat = counts.reshape(-1, matched.images)
    out = np.full((len(flat), len(matched.thresholds), matched.classes), np.nan)
    for label, rows, objects in _by_class(matched, list(AREAS).index(area)):
        out[..., label] = _of_class(matched, list(AREAS).index(area), rows, flat, flat[:, objects].sum(1))
    return out.reshape(*counts.shape[:-1], *out.shape[1:])


def mean_average_precision(values: Numbers, threshold: int | None = None) -> Numbers:
    """The mean average precision, over thresholds and over classes that have objects.

    Args:
        values: of `average_precision`, `[..., T, K]`.
        threshold: index of one threshold, such as 0 for AP50; None for all.

    Returns:
        float64 `[...]`; NaN where no class has an object.
    """
    chosen = values if threshold is None else values[..., threshold : threshold + 1, :]
    there = ~np.isnan(chosen)
    total, count = np.where(there, chosen, 0).sum((-2, -1)), there.sum((-2, -1))
    return np.asarray(np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0))


def precision_recall_curve(matched: Matches, label: int, threshold: int = 0) -> Numbers:
    """Precision at `RECALLS` of one class, `[101]`, all areas.

    Args:
        matched: detections and objects.
        label: the class.
        threshold: index of one of the matching's thresholds.

    Raises:
        ParameterError: the class has no objects.
    """
    for own, rows, objects in _by_class(matched, 0):
        if own == label:
            hit, counted = matched.hit[0, threshold, rows], ~matched.ignored[0, threshold, rows]
            hits, out = np.arange(1, hit.sum() + 1)[None], np.zeros(len(RECALLS))
            steps = _steps(hits / len(objects))[0]
            precision = _envelope(hits / counted.cumsum()[hit])[0]
            reached = np.repeat(precision, np.diff(steps, prepend=0))
            out[: len(reached)] = reached
            return out
    raise ParameterError(f"class {label} has no objects")


def _by_class(matched: Matches, area: int) -> Iterator[tuple[int, Indices, Indices]]:
    """Each class that has objects: its detections by falling score, and the image of each of its objects."""
    order = np.argsort(-matched.scores, kind="stable")
    labels = matched.label[order]
    counted = ~matched.object_ignored[area]
    for label in np.unique(matched.object_label[counted]).tolist():
        yield label, order[labels == label], matched.object_image[counted & (matched.object_label == label)]


def _of_class(matched: Matches, area: int, rows: Indices, weights: Numbers, objects: Numbers) -> Numbers:
    """Average precision `[R, T]` of one class, whose number of objects is `[R]`."""
    out = np.zeros((len(weights), len(matched.thresholds)))
    hit, counted = matched.hit[area][:, rows], ~matched.ignored[area][:, rows]
    last = int(np.flatnonzero(hit.any(0))[-1]) + 1 if hit.any() else 0  # what comes after the last hit changes nothing
    each = weights[:, matched.image[rows[:last]]]
    cumulated: dict[bytes, Numbers] = {}
    least = np.maximum(objects, 1)[:, None].astype(weights.dtype)
    for t in range(len(out.T)):
        places, key = np.flatnonzero(hit[t]), counted[t, :last].tobytes()
        if key not in cumulated:
            cumulated[key] = (each if counted[t, :last].all() else each * counted[t, :last]).cumsum(1)
        hits = each[:, places].cumsum(1)
        precision = _envelope(hits / np.maximum(cumulated[key][:, places], 1))
        reached = np.diff(_steps(hits / least), axis=1, prepend=0)
        out[:, t] = np.einsum("rh,rh->r", precision, reached) / len(RECALLS)
    return np.where(objects[:, None] > 0, out, np.nan)


def _envelope(precision: Numbers) -> Numbers:
    """The highest precision from each place on, `[R, hits]`."""
    return np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]


def _steps(recall: Numbers) -> Numbers:
    """How many of `RECALLS` are reached at each hit, `[R, hits]`; none before the first hit."""
    levels, last = RECALLS.astype(recall.dtype), len(RECALLS) - 1
    k = np.minimum((recall * last).astype(np.int32), last - 1)  # up to rounding, which the next lines correct
    k += levels[k + 1] <= recall
    k -= levels[k] > recall
    return np.where(recall > 0, k + 1, 0)
