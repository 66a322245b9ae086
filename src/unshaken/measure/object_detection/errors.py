"""Kinds of a detector's errors, and how much average precision each of them costs.

Every false detection has one kind, and so has every object that is missed. What a kind costs is the AP that would be
gained if its errors alone were repaired; the costs do not add up to what is missing, since AP is not linear.

Source: Bolya et al. 2020, arXiv:2008.08115 (TIDE). Where the paper leaves the order of the kinds open, it is that of
the authors' code: location, class, duplicate, background, both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.measure.object_detection.average_precision import average_precision, mean_average_precision
from unshaken.measure.object_detection.map_figures import map_difference, resampled_map
from unshaken.measure.object_detection.matching import (
    MOST,
    Detections,
    Matches,
    Objects,
    assign,
    box_iou,
    match_images,
)
from unshaken.measure.statistics.columns import Flags, Indices, Numbers
from unshaken.measure.statistics.intervals import Figure

FALSE_KINDS = ("class", "location", "both", "duplicate", "background")
"""Kinds of false detections."""
KINDS = (*FALSE_KINDS, "missed")
REPAIRS = (*KINDS, "false", "unfound")
"""Kinds of errors; `false`, all false detections gone; `unfound`, no object asked for but those that are hit."""
_CLASS, _LOCATION, _BOTH, _DUPLICATE, _BACKGROUND = range(5)


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """The errors among the detections of many images.

    Args:
        matched: at the threshold of a hit alone; the order of detections and objects is its.
        kind: int64 `[D]`, an index of `FALSE_KINDS`; -1 of hits and of what does not count.
        target: int64 `[D]`: the object that a class or location error is about; -1 of the others.
        repairs: bool `[D]`: the best scored error about an object that nothing else has found.
        found: bool `[G]`: objects that are hit.
        missed: bool `[G]`: objects that count, are not hit, and that no class or location error is about.
    """

    matched: Matches
    kind: Indices
    target: Indices
    repairs: Flags
    found: Flags
    missed: Flags

    def counts(self) -> dict[str, int]:
        """Number of errors of each of `KINDS`."""
        numbers = {name: int((self.kind == i).sum()) for i, name in enumerate(FALSE_KINDS)}
        return numbers | {"missed": int(self.missed.sum())}

    def repaired(self, name: str) -> Matches:
        """The detections as they would be without one kind of error.

        Of class and location errors about one object the best scored one becomes a hit, unless the object is found
        already; the others go, as all errors of the other kinds do. Missed objects are no longer asked for.

        Args:
            name: one of `KINDS`; `false` for all false detections, `unfound` for all objects that are not hit.

        Raises:
            ParameterError: there is no such kind.
        """
        old = self.matched
        counted = ~old.object_ignored[0]
        if name in ("missed", "unfound"):
            gone = self.missed if name == "missed" else counted & ~self.found
            return replace(old, object_ignored=old.object_ignored | gone)
        if name != "false" and name not in FALSE_KINDS:
            raise ParameterError(f"kind {name!r} is not one of {', '.join(REPAIRS)}")
        wrong = self.kind >= 0 if name == "false" else self.kind == FALSE_KINDS.index(name)
        better = wrong & self.repairs if name in ("class", "location") else np.zeros_like(wrong)
        remaining = ~wrong | better
        label = np.where(better, old.object_label[self.target], old.label) if better.any() else old.label
        return replace(
            old,
            image=old.image[remaining],
            label=label[remaining],
            scores=old.scores[remaining],
            hit=(old.hit | better)[..., remaining],
            ignored=(old.ignored & ~better)[..., remaining],
        )


def find_errors(
    detections: Sequence[Detections],
    objects: Sequence[Objects],
    classes: int,
    *,
    hit: float = 0.5,
    near: float = 0.1,
    most: int = MOST,
) -> Errors:
    """Find the kind of every error.

    A false detection is about an object of its class that it overlaps by `near` and less than `hit` (location); else
    about one of another class that it overlaps by `hit` (class); else it repeats a hit (duplicate); else it overlaps
    none by `near` (background); else it is wrong in place and class (both).

    Args:
        detections: of each of N images.
        objects: of the same images.
        classes: number K of classes.
        hit: overlap from which a detection is right.
        near: overlap from which it is about an object, below `hit`.
        most: detections of one class in one image that count, the best scored ones.

    Raises:
        ParameterError: the overlaps are not in order, or as `match_images`.

    >>> box = np.array([[0.0, 0, 10, 10]])
    >>> truth = Objects(box, np.array([1]), np.array([False]))
    >>> found = find_errors([Detections(box, np.array([0]), np.array([0.9]))], [truth], 2)
    >>> found.counts()["class"], error_costs(found)["class"]
    (1, 1.0)
    """
    if not 0 < near < hit <= 1:
        raise ParameterError(f"overlaps near={near} and hit={hit} must have 0 < near < hit <= 1")
    thresholds = np.array([hit])
    matched = match_images(detections, objects, classes, thresholds=thresholds, most=most)
    kinds, targets, found = [], [], []
    before = 0
    for one, truth in zip(detections, objects, strict=True):
        order, own_object = assign(one, truth, thresholds=thresholds, most=most)
        kind, target, used = _of_image(one, truth, order, own_object[0, 0], hit, near)
        kinds.append(kind)
        targets.append(np.where(target >= 0, target + before, -1))
        found.append(used)
        before += len(truth.classes)
    target, used = np.concatenate(targets), np.concatenate(found)
    about = target >= 0
    repairs = _best(target, matched.scores, about & ~used[target] if len(used) else about)
    touched = np.zeros(len(used), bool)
    touched[target[about]] = True
    missed = ~used & ~touched & ~matched.object_ignored[0]
    return Errors(matched, np.concatenate(kinds), target, repairs, used, missed)


def error_costs(errors: Errors) -> dict[str, float]:
    """The mean AP at the threshold of a hit that each kind costs: the repaired one less the one there is.

    Args:
        errors: of `find_errors`.

    Returns:
        Of each of `REPAIRS`; NaN where there is no object.
    """

    def mean_ap(matched: Matches) -> float:
        return float(mean_average_precision(average_precision(matched)))

    there = mean_ap(errors.matched)
    return {name: mean_ap(errors.repaired(name)) - there for name in REPAIRS}


def _of_image(
    found: Detections, objects: Objects, order: Indices, own_object: Indices, hit: float, near: float
) -> tuple[Indices, Indices, Flags]:
    """Kind and target of one image's detections, and which of its objects are hit."""
    used = np.zeros(len(objects.classes), bool)
    used[own_object[own_object >= 0]] = True
    used &= ~objects.crowd
    kind, target = np.full(len(order), -1), np.full(len(order), -1)
    wrong = own_object < 0
    if not len(used):
        kind[wrong] = _BACKGROUND
        return kind, target, used
    ious = box_iou(found.boxes[order], objects.boxes) * ~objects.crowd
    same = found.classes[order][:, None] == objects.classes
    own, other, repeated = (np.where(mask, ious, 0.0) for mask in (same, ~same, same & used))
    in_place = (own.max(1) >= near) & (own.max(1) < hit)
    ways: list[tuple[int, Flags, Numbers | None]] = [
        (_LOCATION, in_place, own),
        (_CLASS, other.max(1) >= hit, other),
        (_DUPLICATE, repeated.max(1) >= hit, None),
        (_BACKGROUND, ious.max(1) < near, None),
        (_BOTH, np.ones_like(wrong), None),
    ]
    for code, applies, about in ways:
        new = wrong & (kind < 0) & applies
        kind[new] = code
        if about is not None:
            target[new] = about[new].argmax(1)
    return kind, target, used


def _best(target: Indices, scores: Numbers, able: Flags) -> Flags:
    """Choose the best scored of the able detections about each object; of equal ones the first."""
    chosen = np.zeros(len(target), bool)
    order = np.flatnonzero(able)[np.argsort(-scores[able], kind="stable")]
    _, first = np.unique(target[order], return_index=True)
    chosen[order[first]] = True
    return chosen


def cost_figures(
    errors: Errors, *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, Figure | None]:
    """The mean AP at the threshold of a hit that repairs of each kind would gain, paired over halves of the images.

    Args:
        errors: of `find_errors`.
        resamples: number of halves behind an interval, at least 2.
        seed: of the draws.
        level: coverage, approximately.

    Returns:
        Of each of `REPAIRS` the figure; None where the repair leaves no object that is asked for.

    Raises:
        ParameterError: there is no object, a single image, or resamples is below 2.
    """
    there = resampled_map(errors.matched, resamples=resamples, seed=seed)
    found: dict[str, Figure | None] = {}
    for name in REPAIRS:
        try:
            repaired = resampled_map(errors.repaired(name), resamples=resamples, seed=seed)
        except ParameterError:  # no object is left
            found[name] = None
        else:
            found[name] = map_difference(there, repaired, level=level)
    return found
