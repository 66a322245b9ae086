"""Boxes in bird's-eye view: corners, overlap, maps of cells, and files of KITTI and nuScenes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from unshaken.core.documents import parse_json, read_text, validate
from unshaken.core.errors import DataError, UnshakenError
from unshaken.core.numbers import parse_number, shorten
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
        inside: list[Numbers] = []
        for i in range(len(polygon)):
            j = (i + 1) % len(polygon)
            if side[i] >= 0:
                inside.append(polygon[i])
            if side[i] * side[j] < 0:
                inside.append(polygon[i] + side[i] / (side[i] - side[j]) * (polygon[j] - polygon[i]))
        if not inside:
            return np.zeros((0, 2))
        polygon = np.array(inside)
    return polygon


def _area(polygon: Numbers) -> float:
    if len(polygon) < 3:
        return 0.0
    x, y = polygon.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


KITTI_COLUMNS = (15, 16)
"""Columns of a label, and of a detection, which has a score besides."""
DONT_CARE = "DontCare"
LONGEST = 1 << 30
"""Bytes of a submission."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Box(BaseModel):
    """A box of a submission: what is read of it."""

    model_config = ConfigDict(extra="ignore", strict=False)

    translation: tuple[Finite, Finite, Finite]
    size: tuple[Size, Size, Size]
    rotation: tuple[Finite, Finite, Finite, Finite]
    detection_name: str
    detection_score: Finite = -1.0


class _Submission(BaseModel):
    """A file of boxes by sample."""

    model_config = ConfigDict(extra="ignore")

    results: dict[str, list[_Box]]


def read_kitti(folder: str | Path) -> BevBoxes:
    """Boxes of a folder of KITTI's label files, one a sample, `ID.txt`.

    A line has 15 columns (type, truncation, occlusion, alpha, four of the box in the image, height, width, length,
    x, y, z of the bottom's centre in the camera's frame, and the rotation about its vertical axis), and a 16th with
    the score for a detection. On the ground x is forward and y to the left. Lines of `DontCare` are left out.

    Raises:
        DataError: the folder has no such file, or a line is wrong; the file and the line are named.
    """
    files = sorted(Path(folder).glob("*.txt"))
    if not files:
        raise DataError(f"{str(folder)!r} has no label file of KITTI (ID.txt)")
    samples, boxes, classes, scores = list[str](), list[list[float]](), list[str](), list[float | None]()
    for file in files:
        try:
            text = read_text(file)
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{str(file)!r} cannot be read: {error}") from error
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0] == DONT_CARE:
                continue
            box, score = _kitti_box(words, f"{str(file)!r}, line {number}")
            samples.append(file.stem)
            classes.append(words[0])
            boxes.append(box)
            scores.append(score)
    return BevBoxes(tuple(samples), _array(boxes), tuple(classes), _scores(scores, str(folder)))


def read_nuscenes(file: str | Path) -> BevBoxes:
    """Boxes of a file of nuScenes' form of submission: `{"results": {TOKEN: [BOX, ...]}}`.

    A box has `translation` (x, y, z), `size` (width, length, height), `rotation` (a quaternion, real part first),
    `detection_name`, and for a detection `detection_score`; true boxes have none, or -1.

    Raises:
        DataError: the file is absent or of another form; what is wrong is named.
    """
    where = f"boxes of nuScenes {str(file)!r}"
    try:
        text = read_text(Path(file), LONGEST)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{where} cannot be read: {error}") from error
    found = validate(_Submission, parse_json(text, where, DataError), where, DataError)
    samples, boxes, classes, scores = list[str](), list[list[float]](), list[str](), list[float | None]()
    for token, entries in found.results.items():
        for box in entries:
            width, length, height = box.size
            w, x, y, z = box.rotation
            if not math.isclose(math.hypot(w, x, y, z), 1, abs_tol=1e-2):
                raise DataError(f"{where}: sample {shorten(token)}: rotation {box.rotation} is no unit quaternion")
            yaw = math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
            samples.append(token)
            boxes.append([*box.translation, length, width, height, yaw])
            classes.append(box.detection_name)
            scores.append(None if box.detection_score < 0 else box.detection_score)
    return BevBoxes(tuple(samples), _array(boxes), tuple(classes), _scores(scores, where))


def _kitti_box(words: Sequence[str], where: str) -> tuple[list[float], float | None]:
    if len(words) not in KITTI_COLUMNS:
        raise DataError(f"{where}: {len(words)} columns; a label of KITTI has 15, a detection 16")
    try:
        numbers = [parse_number(word) for word in words[1:]]
    except (UnshakenError, ValueError) as error:
        raise DataError(f"{where}: {error}") from error
    height, width, length, x, y, z, turn = numbers[7:14]
    if min(height, width, length) <= 0:
        raise DataError(f"{where}: height, width and length are {height:g}, {width:g}, {length:g}; they are above 0")
    yaw = math.atan2(-math.cos(turn), -math.sin(turn))
    return [z, -x, height / 2 - y, length, width, height, yaw], numbers[14] if len(numbers) > 14 else None


def _array(boxes: list[list[float]]) -> Numbers:
    return np.array(boxes, np.float64).reshape(-1, 7)


def _scores(scores: Sequence[float | None], where: str) -> Numbers | None:
    """All scores; None where no box has one."""
    known = [s for s in scores if s is not None]
    if known and len(known) < len(scores):
        raise DataError(f"{where}: {len(known)} of {len(scores)} boxes have a score; give one to all or to none")
    return np.array(known, np.float64) if known else None
