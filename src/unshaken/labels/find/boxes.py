"""Wrong boxes of objects: overlooked ones, badly placed ones, and ones with the class of another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from unshaken.labels.find.box_overlap import ImageBoxes, average_precision, box_iou
from unshaken.measure.statistics.columns import Flags, Indices, Numbers

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
    least = min((float(s[s > 0].min()) for s in map(similarity, _shapes(images)) if (s > 0).any()), default=1.0)
    overlooked, placed, swapped = [], [], []
    for image in images:
        shape = (image.boxes, image.predicted)
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


def _shapes(images: Sequence[ImageBoxes]) -> Iterator[tuple[Numbers, Numbers]]:
    return ((image.boxes, image.predicted) for image in images)


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
