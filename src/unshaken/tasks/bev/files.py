"""Readers of boxes in metres: label files of KITTI, and submissions of nuScenes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from unshaken.core.documents import parse_json, read_text, validate
from unshaken.core.errors import DataError, UnshakenError
from unshaken.core.numbers import parse_number, shorten
from unshaken.tasks.bev.boxes import BevBoxes

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


def _array(boxes: list[list[float]]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array(boxes, np.float64).reshape(-1, 7)


def _scores(scores: Sequence[float | None], where: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None:
    """All scores; None where no box has one.

    Raises:
        DataError: some have one.
    """
    known = [s for s in scores if s is not None]
    if known and len(known) < len(scores):
        raise DataError(f"{where}: {len(known)} of {len(scores)} boxes have a score; give one to all or to none")
    return np.array(known, np.float64) if known else None
