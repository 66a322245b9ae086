"""The boxes of an image, and how well they are predicted: overlap, and average precision of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unshaken.measure.statistics.columns import Indices, Numbers

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
        taken = np.zeros(len(boxes), bool)
        for j in np.argsort(-sure, kind="stable").tolist():
            best = int(overlap[j].argmax())
            if overlap[j, best] >= least and not taken[best]:
                row[j] = taken[best] = True
    return sure, hits


def _area(hits: NDArray[np.bool_], given: int) -> float:
    """The area under precision over recall, precision being made falling from the right."""
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    recall = np.concatenate([[0.0], right / given])
    return float(np.diff(recall) @ np.maximum.accumulate(precision[::-1])[::-1])
