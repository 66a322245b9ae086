"""Average precision of boxes on the ground, by the length of objects: matched by overlap, or by distance."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers
from unshaken.tasks.bev.boxes import BevBoxes, bev_iou

EDGES = (0.0, 5.0, 10.0, 15.0, 20.0)
"""Ends of the usual bins of length, in metres."""
DISTANCES = (0.5, 1.0, 2.0, 4.0)
"""Distances of centres at which nuScenes averages, in metres."""
RECALLS = 101


def bev_average_precision(
    found: BevBoxes, objects: BevBoxes, *, iou: float | None = None, distance: float | None = None,
    lengths: tuple[float, float] | None = None,
) -> float:  # fmt: skip
    """Average precision of one class's boxes, over 101 recalls.

    A detection takes the best free object of its sample, the surest detections first. Where `lengths` leave objects
    out, a detection that takes one of those counts for nothing, and so does one that takes none and whose own length
    is outside.

    Args:
        found: detections, with scores.
        objects: true boxes.
        iou: least overlap on the ground of a match, in (0, 1].
        distance: largest distance of centres of a match, in metres; one of the two.
        lengths: least and largest length of the objects that count, the largest left out.

    Returns:
        In [0, 1]; NaN where no object counts.

    Raises:
        ParameterError: both thresholds or none are given, one is out of range, or the detections have no scores.
    """
    return _of_lengths(found, objects, match_boxes(found, objects, iou, distance), lengths)


def ap_by_length(
    found: BevBoxes, objects: BevBoxes, *, iou: float | None = None, distance: float | None = None,
    edges: Sequence[float] = EDGES,
) -> dict[str, float]:  # fmt: skip
    """Average precision of one class's boxes in bins of the objects' length; see `bev_average_precision`.

    Raises:
        ParameterError: the edges do not rise, or as `bev_average_precision`.
    """
    if len(edges) < 2 or list(edges) != sorted(set(edges)):
        raise ParameterError(f"edges {list(edges)} must rise, at least two of them")
    bins = [(float(a), float(b)) for a, b in itertools.pairwise(edges)]
    matched = match_boxes(found, objects, iou, distance)
    return {f"{a:g}-{b:g}": _of_lengths(found, objects, matched, (a, b)) for a, b in bins}


def nuscenes_ap(found: BevBoxes, objects: BevBoxes, classes: Sequence[str]) -> float:
    """The mean over classes that have objects, and over the distances .5, 1, 2 and 4 m, of average precision.

    nuScenes's own figure leaves recall and precision below 0.1 out; this one does not.
    """
    values = [
        bev_average_precision(found.of_class(name), objects.of_class(name), distance=d)
        for name in classes
        for d in DISTANCES
    ]
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")


def match_boxes(
    found: BevBoxes, objects: BevBoxes, iou: float | None, distance: float | None
) -> list[tuple[int, int | None]]:
    """Detections, the surest first, each with the object that it takes; None where it takes none.

    Args:
        found: detections, with scores.
        objects: true boxes.
        iou: as for `bev_average_precision`.
        distance: likewise.

    Raises:
        ParameterError: as of `bev_average_precision`.
    """
    if (iou is None) == (distance is None):
        raise ParameterError("give one of iou and distance: how near a detection must be")
    if iou is not None and not 0 < iou <= 1:
        raise ParameterError(f"iou must lie in (0, 1], not {iou}: 0.5 is usual")
    if distance is not None and not 0 < distance < np.inf:
        raise ParameterError(f"distance must be a number of metres above 0, not {distance}")
    if found.scores is None:
        raise ParameterError("detections need scores: average precision orders them")
    places: dict[str, list[int]] = {}
    for i, name in enumerate(objects.samples):
        places.setdefault(name, []).append(i)
    free, matched = np.ones(len(objects), bool), list[tuple[int, int | None]]()
    for i in np.argsort(-found.scores, kind="stable").tolist():
        near = np.array([j for j in places.get(found.samples[i], []) if free[j]], np.int64)
        best = _nearest(found.boxes[i], objects.boxes[near], iou, distance)
        target = None if best is None else int(near[best])
        if target is not None:
            free[target] = False
        matched.append((i, target))
    return matched


def _of_lengths(
    found: BevBoxes, objects: BevBoxes, matched: Sequence[tuple[int, int | None]], lengths: tuple[float, float] | None
) -> float:
    """Average precision over the objects of some lengths; which object a detection takes does not depend on these."""
    low, high = lengths or (-np.inf, np.inf)
    own, counts = ((one.boxes[:, 3] >= low) & (one.boxes[:, 3] < high) for one in (found, objects))
    if not counts.any():
        return float("nan")
    hits = [target is not None for i, target in matched if (own[i] if target is None else counts[target])]
    return area_under(np.array(hits, bool), int(counts.sum()))


def _nearest(box: Numbers, objects: Numbers, iou: float | None, distance: float | None) -> int | None:
    """The place of the best object that is near enough; None for none."""
    if not len(objects):
        return None
    if iou is not None:
        overlaps = bev_iou(box[None], objects)[0]
        best = int(overlaps.argmax())
        return best if overlaps[best] >= iou else None
    apart = np.hypot(*(objects[:, :2] - box[:2]).T)
    best = int(apart.argmin())
    return best if distance is not None and apart[best] < distance else None


def area_under(hits: Numbers, objects: int) -> float:
    """The mean, over 101 recalls, of the highest precision at that recall or beyond.

    Args:
        hits: bool, whether each detection that counts takes an object that counts, the surest first.
        objects: how many count.
    """
    if not len(hits):
        return 0.0
    right = np.cumsum(hits)
    precision, recall = right / np.arange(1, len(hits) + 1), right / objects
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(recall, np.linspace(0, 1, RECALLS) - 1e-12)
    return float(np.append(highest, 0.0)[place].mean())
