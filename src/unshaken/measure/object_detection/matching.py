"""Detections of an image matched with its objects, as COCO's reference does: for each threshold, best score first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Flags, Indices, Numbers

THRESHOLDS: Numbers = np.linspace(0.5, 0.95, 10)
"""COCO's thresholds of the intersection over union."""
AREAS: dict[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""COCO's ranges of an object's area in pixels, both ends included."""
_RANGES: Numbers = np.array(list(AREAS.values())).T[..., None]
MOST = 100
"""Detections of one class in one image that count, the best scored ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """The objects of one image.

    Args:
        boxes: float64 `[G, 4]` as (left, top, right, bottom) in pixels.
        classes: int64 `[G]`.
        crowd: bool `[G]`: a region of many objects, which is no miss and in which detections are no mistakes.
        areas: float64 `[G]` in pixels, by which an object counts as small or large; None for those of the boxes.
    """

    boxes: Numbers
    classes: Indices
    crowd: Flags
    areas: Numbers | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The output of a detector for one image.

    Args:
        boxes: float64 `[D, 4]` as (left, top, right, bottom) in pixels.
        classes: int64 `[D]`.
        scores: float64 `[D]`, finite.
    """

    boxes: Numbers
    classes: Indices
    scores: Numbers


def areas_of(boxes: Numbers) -> Numbers:
    """Width times height of boxes `[..., 4]` given by corners."""
    size = boxes[..., 2:] - boxes[..., :2]
    return np.asarray(size[..., 0] * size[..., 1])


def box_iou(boxes: Numbers, others: Numbers, crowd: Flags | None = None) -> Numbers:
    """Intersection over union of every box with every other.

    Args:
        boxes: `[D, 4]` as (left, top, right, bottom).
        others: `[G, 4]`.
        crowd: `[G]`: which of the others are regions; for these the intersection is divided by the box's area alone.

    Returns:
        float64 `[D, G]`.

    >>> a, b = np.array([[0.0, 0, 10, 10]]), np.array([[1.0, 1, 11, 11], [0, 0, 20, 20]])
    >>> box_iou(a, b).round(6).tolist(), box_iou(a, b, np.array([False, True])).round(6).tolist()
    ([[0.680672, 0.25]], [[0.680672, 1.0]])
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    inside = np.prod(np.clip(high - low, 0, None), -1)
    own = areas_of(boxes)[:, None]
    union = own + areas_of(others)[None] - inside
    if crowd is not None:
        union = np.where(crowd[None], own, union)
    return np.asarray(np.divide(inside, union, out=np.zeros_like(inside), where=union > 0))


def match(ious: Numbers, crowd: Flags, ignored: Flags, thresholds: Numbers = THRESHOLDS) -> Indices:
    """The object that each detection is matched with, by threshold.

    A detection takes the object of the highest overlap among those that are free and reach the threshold, of equal ones
    the last; one that is ignored only where no other will do. A crowd is never used up.

    Args:
        ious: `[D, G]`, detections in falling order of their scores; -1 where the classes differ.
        crowd: `[G]`.
        ignored: `[A, G]`: objects that do not count, for each of A ranges of area.
        thresholds: `[T]`.

    Returns:
        int64 `[A, T, D]`; -1 where a detection is matched with none.
    """
    ranges, (detections, objects) = len(ignored), ious.shape
    found = np.full((ranges, len(thresholds), detections), -1)
    if not objects:
        return found
    free = np.ones((ranges, len(thresholds), objects), bool)
    least = np.minimum(thresholds, 1 - 1e-10)[:, None]
    for d in np.flatnonzero(ious.max(1) >= least.min()):
        able = free & (ious[d] >= least)
        counted = able & ~ignored[:, None]
        able = np.where(counted.any(-1, keepdims=True), counted, able)
        last = objects - 1 - np.where(able, ious[d], -1.0)[..., ::-1].argmax(-1)
        a, t = np.nonzero(able.any(-1))
        assigned = last[a, t]
        found[a, t, d] = assigned
        free[a, t, assigned] = crowd[assigned]
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Detections of many images in one table, with what became of each.

    Args:
        images: number N of images.
        classes: number K of classes.
        image: int64 `[D]`, of each detection, rising.
        label: int64 `[D]`, its class.
        scores: float64 `[D]`.
        hit: bool `[A, T, D]`: matched with an object that counts.
        ignored: bool `[A, T, D]`: neither right nor wrong.
        object_image: int64 `[G]`, of each object.
        object_label: int64 `[G]`.
        object_ignored: bool `[A, G]`: a crowd, or of another size.
        thresholds: `[T]`.
    """

    images: int
    classes: int
    image: Indices
    label: Indices
    scores: Numbers
    hit: Flags
    ignored: Flags
    object_image: Indices
    object_label: Indices
    object_ignored: Flags
    thresholds: Numbers

    def of_images(self, chosen: Indices) -> Matches:
        """The same of some images alone, which nothing is matched again for.

        Args:
            chosen: places of images, each at most once, int64 `[n]`; the new images have their order.
        """
        place = np.full(self.images, -1)
        place[chosen] = np.arange(len(chosen))

        def kept(image: Indices) -> Indices:
            order = np.argsort(place[image], kind="stable")
            return order[place[image[order]] >= 0]

        found, there = kept(self.image), kept(self.object_image)
        return Matches(
            images=len(chosen),
            classes=self.classes,
            image=place[self.image[found]],
            label=self.label[found],
            scores=self.scores[found],
            hit=self.hit[..., found],
            ignored=self.ignored[..., found],
            object_image=place[self.object_image[there]],
            object_label=self.object_label[there],
            object_ignored=self.object_ignored[:, there],
            thresholds=self.thresholds,
        )


def match_images(
    detections: Sequence[Detections],
    objects: Sequence[Objects],
    classes: int,
    *,
    thresholds: Numbers = THRESHOLDS,
    most: int = MOST,
) -> Matches:
    """Match the detections of every image with its objects.

    Args:
        detections: of each of N images.
        objects: of the same images.
        classes: number K of classes.
        thresholds: `[T]`, of the intersection over union.
        most: detections of one class in one image that count, the best scored ones.

    Returns:
        All detections that count; ranges of area in the order of `AREAS`.

    Raises:
        ParameterError: lengths differ, a class is not one of K, a score, box or area is not finite, or a threshold is
            outside (0, 1].
    """
    check_thresholds(thresholds)
    if len(detections) != len(objects) or not objects:
        raise ParameterError(f"detections of {len(detections)} images came with objects of {len(objects)}")
    parts = [_match_image(*pair, classes, thresholds, most) for pair in zip(detections, objects, strict=True)]
    label, scores, hit, ignored = (np.concatenate([p[i] for p in parts], -1) for i in range(4))
    return Matches(
        images=len(objects),
        classes=classes,
        image=np.repeat(np.arange(len(parts)), [len(p[0]) for p in parts]),
        label=label,
        scores=scores,
        hit=hit,
        ignored=ignored,
        object_image=np.repeat(np.arange(len(objects)), [len(o.classes) for o in objects]),
        object_label=np.concatenate([o.classes for o in objects]),
        object_ignored=np.concatenate([_not_counted(o) for o in objects], -1),
        thresholds=thresholds,
    )


def _match_image(
    found: Detections, objects: Objects, classes: int, thresholds: Numbers, most: int
) -> tuple[Indices, Numbers, Flags, Flags]:
    """Class, score, hit and ignored of one image's detections that count."""
    check_image(found, objects, classes)
    order, none = assign(found, objects, thresholds=thresholds, most=most)
    outside = _outside(areas_of(found.boxes[order]))[:, None]
    free = none < 0
    off = _not_counted(objects)
    skipped = np.zeros_like(free) if not off.shape[1] else np.take_along_axis(
        np.broadcast_to(off[:, None], (*none.shape[:2], off.shape[1])), np.maximum(none, 0), -1
    )  # fmt: skip
    ignored = np.where(free, outside, skipped)
    return found.classes[order], found.scores[order], ~free & ~ignored, ignored


def assign(
    found: Detections, objects: Objects, *, thresholds: Numbers = THRESHOLDS, most: int = MOST
) -> tuple[Indices, Indices]:
    """The object of each detection of one image.

    Args:
        found: detections.
        objects: of the same image.
        thresholds: `[T]`, of the intersection over union.
        most: detections of one class that count, the best scored ones.

    Returns:
        The detections that count by falling score, int64 `[d]`, and the object of each of these, int64 `[A, T, d]`; -1
        where it has none.
    """
    order = np.argsort(-found.scores, kind="stable")
    if len(order) > most:
        rank = np.empty(len(order), np.int64)
        for label in np.unique(found.classes):
            own = found.classes[order] == label
            rank[own] = np.arange(own.sum())
        order = order[rank < most]
    same = found.classes[order][:, None] == objects.classes  # all classes in one pass: across them nothing overlaps
    ious = np.where(same, box_iou(found.boxes[order], objects.boxes, objects.crowd), -1.0)
    return order, match(ious, objects.crowd, _not_counted(objects), thresholds)


def _outside(areas: Numbers) -> Flags:
    """Which areas `[n]` are outside of each range, `[A, n]`."""
    low, high = _RANGES
    return np.asarray((areas < low) | (areas > high))


def _not_counted(objects: Objects) -> Flags:
    """Which objects do not count, for each range of area, `[A, G]`."""
    areas = areas_of(objects.boxes) if objects.areas is None else objects.areas
    return np.asarray(_outside(areas) | objects.crowd)


def check_thresholds(thresholds: Numbers) -> None:
    """Refuse thresholds of the overlap outside (0, 1], or none.

    Raises:
        ParameterError: there is no threshold, or one is outside.
    """
    values = np.asarray(thresholds)
    if not values.size or not ((values > 0) & (values <= 1)).all():
        raise ParameterError(f"thresholds of the overlap must lie in (0, 1], not {values.tolist()}")


def check_image(found: Detections, objects: Objects, classes: int) -> None:
    """Refuse the boxes of an image that do not fit together.

    Raises:
        ParameterError: lengths differ, a class is not one of K, or a score, box or area is not finite.
    """
    sizes = {len(found.boxes), len(found.scores), len(found.classes)}, {len(objects.boxes), len(objects.crowd),
             len(objects.classes), len(objects.classes if objects.areas is None else objects.areas)}  # fmt: skip
    if max(map(len, sizes)) > 1:
        raise ParameterError("boxes, classes, scores, crowd and areas of one image must be as many as its boxes")
    if objects.areas is not None and not np.isfinite(objects.areas).all():
        raise ParameterError("an object has an area that is not finite: leave it out, or the area of the box counts")
    for name, part in (("a detection", found), ("an object", objects)):
        if len(part.classes) and not (part.classes.min() >= 0 and part.classes.max() < classes):
            strange = part.classes[(part.classes < 0) | (part.classes >= classes)][0]
            raise ParameterError(f"{name} is of class {strange}, which is not one of 0 to {classes - 1}")
        if not np.isfinite(part.boxes).all():
            raise ParameterError(f"{name} has a box that is not finite: leave it out")
    if not np.isfinite(found.scores).all():
        raise ParameterError("a detection has a score that is not finite: leave it out")
