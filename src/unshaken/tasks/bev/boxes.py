"""Boxes in bird's-eye view: corners, overlap of rotated rectangles, maps of cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import DataError
from unshaken.measure.statistics.columns import Numbers

WIDTH = 7
"""Numbers of a box: x, y and z of its centre, length, width and height, and yaw about the vertical axis."""


@dataclass(frozen=True, slots=True, eq=False)
class BevBoxes:
    """Boxes of many samples, in metres, on a ground plane (x, y).

    Args:
        samples: the sample of each box, `M` ids.
        boxes: float64 `[M, 7]`: x, y, z, length, width, height, yaw in radians from x towards y.
        classes: name of each box's class.
        scores: in [0, 1] or of any monotone scale, finite, `[M]`; None for true boxes.

    Raises:
        DataError: the parts are not of one length, or a number is not finite or a size not above 0.
    """

    samples: tuple[str, ...]
    boxes: Numbers
    classes: tuple[str, ...]
    scores: Numbers | None = None

    def __post_init__(self) -> None:
        count = len(self.samples)
        if self.boxes.shape != (count, WIDTH) or len(self.classes) != count:
            raise DataError(f"{count} samples need {count} boxes [x, y, z, l, w, h, yaw], not {self.boxes.shape}")
        if self.scores is not None and self.scores.shape != (count,):
            raise DataError(f"{count} boxes need {count} scores, not {self.scores.shape}")
        if self.scores is not None and not np.isfinite(self.scores).all():
            i = int(np.flatnonzero(~np.isfinite(self.scores))[0])
            raise DataError(f"box {i} of sample {self.samples[i]!r} has the score {self.scores[i]}: leave it out")
        wrong = ~np.isfinite(self.boxes).all(1) | (self.boxes[:, 3:6] <= 0).any(1)
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"box {i} of sample {self.samples[i]!r} has sizes or places that cannot be: {self.boxes[i]}"
            )

    def __len__(self) -> int:
        return len(self.samples)

    def of_class(self, name: str) -> BevBoxes:
        """The boxes of one class."""
        return self[np.array([c == name for c in self.classes], bool)]

    def __getitem__(self, chosen: NDArray[np.bool_]) -> BevBoxes:
        """Some boxes, by a mask `[M]`."""
        rows = np.flatnonzero(chosen)
        scores = None if self.scores is None else self.scores[rows]
        return BevBoxes(
            tuple(self.samples[i] for i in rows), self.boxes[rows], tuple(self.classes[i] for i in rows), scores
        )


def corners(boxes: Numbers) -> Numbers:
    """The four corners on the ground of boxes `[M, 7]`, counter-clockwise, `[M, 4, 2]`."""
    x, y, length, width, yaw = (boxes[:, i, None] for i in (0, 1, 3, 4, 6))
    along, across = length / 2 * np.array([1, -1, -1, 1]), width / 2 * np.array([1, 1, -1, -1])
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.stack([x + along * cos - across * sin, y + along * sin + across * cos], -1)


def bev_iou(boxes: Numbers, others: Numbers) -> Numbers:
    """Intersection over union on the ground of rotated boxes.

    Args:
        boxes: `[M, 7]`.
        others: `[P, 7]`.

    Returns:
        `[M, P]`.

    >>> square = np.array([[0.0, 0, 0, 2, 2, 1, 0]])
    >>> moved = square + [1, 0, 0, 0, 0, 0, 0]
    >>> bev_iou(square, moved).round(4).tolist()
    [[0.3333]]
    """
    found = np.zeros((len(boxes), len(others)))
    first, second = corners(boxes), corners(others)
    reach = np.hypot(boxes[:, 3], boxes[:, 4])[:, None] / 2 + np.hypot(others[:, 3], others[:, 4]) / 2
    near = np.hypot(*(boxes[:, None, :2] - others[:, :2]).transpose(2, 0, 1)) < reach
    for i, j in np.argwhere(near):
        shared = _area(_clip(first[i], second[j]))
        found[i, j] = shared / (boxes[i, 3] * boxes[i, 4] + others[j, 3] * others[j, 4] - shared)
    return found


def rasterise(
    boxes: Numbers, classes: NDArray[np.int64], shape: tuple[int, int], cell: float = 1.0
) -> NDArray[np.uint8]:
    """A map of classes, of the cells whose centre lies in a box; later boxes cover earlier ones.

    Args:
        boxes: `[M, 7]`; x is the row's coordinate (depth), y the column's, from the corner of the map.
        classes: of each box, from 1; 0 is the background.
        shape: rows and columns.
        cell: side of a cell, in the unit of the boxes.
    """
    rows, columns = (np.arange(n) * cell + cell / 2 for n in shape)
    found = np.zeros(shape, np.uint8)
    for box, kind in zip(boxes, classes, strict=True):
        x, y = rows[:, None] - box[0], columns[None, :] - box[1]
        cos, sin = np.cos(box[6]), np.sin(box[6])
        along, across = x * cos + y * sin, -x * sin + y * cos
        found[(np.abs(along) < box[3] / 2) & (np.abs(across) < box[4] / 2)] = kind
    return found


def _clip(polygon: Numbers, window: Numbers) -> Numbers:
    """The part of a convex polygon inside another, both counter-clockwise (Sutherland and Hodgman 1974)."""
    for start, stop in zip(window, np.roll(window, -1, 0), strict=True):
        edge = stop - start
        side = edge[0] * (polygon[:, 1] - start[1]) - edge[1] * (polygon[:, 0] - start[0])
        kept: list[Numbers] = []
        for i in range(len(polygon)):
            j = (i + 1) % len(polygon)
            if side[i] >= 0:
                kept.append(polygon[i])
            if side[i] * side[j] < 0:
                kept.append(polygon[i] + side[i] / (side[i] - side[j]) * (polygon[j] - polygon[i]))
        if not kept:
            return np.zeros((0, 2))
        polygon = np.array(kept)
    return polygon


def _area(polygon: Numbers) -> float:
    if len(polygon) < 3:
        return 0.0
    x, y = polygon.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
