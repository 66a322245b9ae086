"""Wrong boxes of objects: overlooked ones, badly placed ones, and ones with the class of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from unshaken.measure.statistics.columns import Flags, Indices, Numbers

OVERLAPS = np.linspace(0.5, 0.95, 10)
_EMPTY = 1e-6
"""The least area that two boxes cover together."""


@dataclass(frozen=True, slots=True)
class ImageBoxes:
    """The boxes of an image: those given, and those predicted out of sample.

    Args:
        boxes: given, `[M, 4]` as left, top, right, bottom in pixels.
        labels: their classes, int `[M]`.
        predicted: predicted, `[P, 4]`.
        predicted_labels: their classes, int `[P]`, in rising order.
        probability: theirs, in [0, 1], `[P]`.
    """

    boxes: Numbers
    labels: Indices
    predicted: Numbers
    predicted_labels: Indices
    probability: Numbers


def box_iou(one: Numbers, other: Numbers) -> Numbers:
    """Intersection over union of all pairs of two sets of boxes.

    Args:
        one: `[M, 4]` as left, top, right, bottom.
        other: `[P, 4]`.

    Returns:
        `[M, P]`.

    >>> box_iou(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2], [5, 5, 6, 6]])).round(3).tolist()
    [[0.333, 0.0]]
    """
    near = np.maximum(one[:, None, :2], other[None, :, :2])
    far = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.clip(far - near, 0, None).prod(2)
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (one, other)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1] - shared, _EMPTY))


def average_precision(images: Sequence[ImageBoxes], classes: int) -> Numbers:
    """The area under each class's curve of precision over recall, the mean over overlaps from 0.5 to 0.95, `[K]`.

    A predicted box is right if it overlaps a given one of its class enough that no surer one has taken. Of a class that
    is never given it is 0.

    Args:
        images: the boxes of each.
        classes: number of classes K.
    """
    found = np.zeros(classes)
    for label in range(classes):
        parts = [_hits(image, label) for image in images]
        sure = np.concatenate([p for p, _ in parts])
        hits = np.concatenate([h for _, h in parts], 1)[:, np.argsort(-sure, kind="stable")]
        given = sum(int((image.labels == label).sum()) for image in images)
        found[label] = np.mean([_area(row, given) for row in hits]) if given else 0.0
    return found


def _hits(image: ImageBoxes, label: int) -> tuple[Numbers, NDArray[np.bool_]]:
    """Probabilities of the predicted boxes of a class, and whether each is right at each overlap, `[10, P]`."""
    chosen = image.predicted_labels == label
    sure = image.probability[chosen]
    boxes = image.boxes[image.labels == label]
    hits = np.zeros((len(OVERLAPS), len(sure)), bool)
    if not len(boxes):
        return sure, hits
    overlap = box_iou(image.predicted[chosen], boxes)
    for row, least in zip(hits, OVERLAPS, strict=True):
        matched = np.zeros(len(boxes), bool)
        for j in np.argsort(-sure, kind="stable").tolist():
            best = int(overlap[j].argmax())
            if overlap[j, best] >= least and not matched[best]:
                row[j] = matched[best] = True
    return sure, hits


def _area(hits: NDArray[np.bool_], given: int) -> float:
    """The area under precision over recall, precision being made falling from the right."""
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    recall = np.concatenate([[0.0], right / given])
    return float(np.diff(recall) @ np.maximum.accumulate(precision[::-1])[::-1])


LOW, HIGH = 0.5, 0.95
"""Probability from which a predicted box counts against a place, and against a class or a missing box."""
WEIGHT, REACH = 0.9, 0.1
"""Share of the overlap in the similarity of two boxes, and decay of the rest with their distance in pixels."""
TEMPERATURE = 0.1
SAME = 0.95
"""Overlap from which two boxes with different classes are of one object."""
STRICT = 0.25 * 0.8
"""Share of a class's average precision at which its boxes are flagged."""
_TINY = 1e-100
KINDS = ("overlooked", "badly placed", "wrong class")


@dataclass(frozen=True, slots=True)
class BoxScores:
    """The scores of images with boxes, each the lower the more suspect.

    Args:
        score: of each image, in [0, 1], `[N]`.
        overlooked: of each predicted box of each image, how unlikely a given one is missing there; NaN where it says
            nothing.
        badly_placed: of each given box of each image.
        wrong_class: of each given box of each image.
        flagged: images of which a box is taken for wrong, or missing, bool `[N]`.
        flags: of each image the flags of these boxes, in the order of `KINDS`.
        precision: average precision of each class, `[K]`.
    """

    score: Numbers
    overlooked: list[Numbers]
    badly_placed: list[Numbers]
    wrong_class: list[Numbers]
    flagged: Flags
    flags: list[tuple[Flags, Flags, Flags]]
    precision: Numbers


def find_boxes(images: Sequence[ImageBoxes], classes: int, *, overlap_check: bool = True) -> BoxScores:
    """Score and flag the boxes of all images.

    The similarity of two boxes is `0.9 IoU + 0.1 exp(-0.1 d)`, with d the distance of their centres. A predicted box
    of high probability that overlaps none is compared with those of its class (overlooked), a given one with predicted
    ones of its class (badly placed) and of others (wrong class).

    Args:
        images: the boxes of each.
        classes: number of classes K.
        overlap_check: whether two given boxes of different classes at one place count as wrong.

    Source: Tkachenko et al. 2023 (ObjectLab), arXiv:2309.00832; scores and flags are those of cleanlab 2.9.
    """
    shapes = [(image.boxes, image.predicted) for image in images]
    least = min((float(s[s > 0].min()) for s in map(similarity, shapes) if (s > 0).any()), default=1.0)
    overlooked, placed, swapped = [], [], []
    for image, shape in zip(images, shapes, strict=True):
        near, overlap = similarity(shape), box_iou(*shape)
        overlooked.append(_overlooked(image, near, overlap, least))
        placed.append(_badly_placed(image, near, overlap))
        swapped.append(_wrong_class(image, near, least, overlap_check))
    precision = average_precision(images, classes)
    flags = [
        (
            _below(a, image.predicted_labels, precision),
            _below(b, image.labels, precision),
            _below(c, image.labels, precision),
        )
        for image, a, b, c in zip(images, overlooked, placed, swapped, strict=True)
    ]
    flagged = np.array([any(f.any() for f in three) for three in flags], bool)
    logs = [np.log(_TINY + np.array([_pooled(s) for s in kind])) for kind in (overlooked, placed, swapped)]
    score = np.exp(np.mean(logs, 0))
    return BoxScores(score, overlooked, placed, swapped, flagged, flags, precision)


def similarity(boxes: tuple[Numbers, Numbers]) -> Numbers:
    """`0.9 IoU + 0.1 exp(-0.1 d)` of all pairs of two sets of boxes, `[M, P]`."""
    one, other = boxes
    centres = [(b[:, None, :2] + b[:, None, 2:]) / 2 for b in (one, other)]
    distance = np.linalg.norm(centres[0] - centres[1].transpose(1, 0, 2), axis=2)
    return np.asarray(box_iou(one, other) * WEIGHT + (1 - WEIGHT) * np.exp(-distance * REACH))


def _overlooked(image: ImageBoxes, near: Numbers, overlap: Numbers, least: float) -> Numbers:
    """The similarity of the nearest given box of the same class; NaN where the prediction is unsure or overlaps one."""
    found = np.full(len(image.predicted_labels), np.nan)
    for j in np.flatnonzero((image.probability >= HIGH) & ~(overlap > 0).any(0)).tolist():
        own = near[image.labels == image.predicted_labels[j], j]
        found[j] = own.max() if len(own) else least * (1 - image.probability[j])
    return found


def _badly_placed(image: ImageBoxes, near: Numbers, overlap: Numbers) -> Numbers:
    """The similarity of the nearest predicted box of the same class that overlaps; 1 where there is none."""
    same = image.labels[:, None] == image.predicted_labels
    counts = same & (image.probability > LOW) & (overlap > 0)
    found = np.ones(len(image.labels))
    some = counts.any(1)
    found[some] = np.where(counts, near, -np.inf)[some].max(1, initial=-np.inf)
    return found


def _wrong_class(image: ImageBoxes, near: Numbers, least: float, overlap_check: bool) -> Numbers:
    """1 less the similarity of the nearest sure prediction of another class; 1 where there is none."""
    other = (image.labels[:, None] != image.predicted_labels) & (image.probability > HIGH)
    found = np.ones(len(image.labels))
    some = other.any(1)
    found[some] = np.maximum(least, 1 - np.where(other, near, -np.inf)[some].max(1, initial=-np.inf))
    if overlap_check:
        differ = image.labels[:, None] != image.labels
        found[(differ & (box_iou(image.boxes, image.boxes) >= SAME)).any(1)] = least
    return found


def _below(scores: Numbers, labels: Indices, precision: Numbers) -> Flags:
    """Boxes whose score is at most a share of their class's average precision."""
    return np.asarray(np.nan_to_num(scores, nan=1.0) <= precision[labels] * STRICT, bool)


def _pooled(scores: Numbers) -> float:
    """The mean of an image's scores with the weights `softmax(-s / T)`; 1 without any."""
    known: NDArray[Any] = scores[~np.isnan(scores)]
    return float(special.softmax(-known / TEMPERATURE) @ known) if len(known) else 1.0
