"""`read_box_table`: boxes of objects from a parquet or CSV file, row by row, whatever is in it."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.numbers import LARGEST_COUNT, MAX_CLASSES, parse_number, parse_whole, shorten
from unshaken.data.box_table import BoxTable
from unshaken.data.parquet_check import check_parquet
from unshaken.data.spec import existing, reason_of

LARGEST_SHARE = 2.0
"""Width or height of a box in sides of its photo above which these are no shares."""
BEYOND = 0.01
"""Share of a photo's side by which a box may leave the photo unmentioned; what is outside is cut off."""
ENOUGH = 10
"""Boxes from which the number of those that leave their photos says something."""


def faults_of(boxes: NDArray[np.float64]) -> dict[int, str]:
    """The boxes that cannot be used, and why.

    Args:
        boxes: `[n, 4]` as in `BoxTable`, of strangers.
    """
    x, y, w, h = boxes.T
    with np.errstate(invalid="ignore", over="ignore"):
        tests = {
            "is not finite": ~np.isfinite(boxes).all(1),
            "has a width or height below 0": (w < 0) | (h < 0),
            "is empty: its width or height is 0": (w == 0) | (h == 0),
            "is more than twice as large as its photo": (w > LARGEST_SHARE) | (h > LARGEST_SHARE),
            "lies outside of its photo": (x + w / 2 <= 0) | (x - w / 2 >= 1) | (y + h / 2 <= 0) | (y - h / 2 >= 1),
        }
    found: dict[int, str] = {}
    for why, wrong in tests.items():
        for row in np.flatnonzero(wrong).tolist():
            found.setdefault(row, why)
    return found


def leave_photos(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which boxes reach beyond their photos by more than `BEYOND`.

    Args:
        boxes: `[n, 4]` as in `BoxTable`.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
        return np.asarray(((low < -BEYOND) | (high > 1 + BEYOND)).any(1))


def check_spread(boxes: NDArray[np.float64], where: str, form: str) -> None:
    """Refuse boxes most of which leave their photos: their numbers mean something else.

    Args:
        boxes: `[n, 4]` as in `BoxTable`, of strangers.
        where: the file, for messages.
        form: that they should have, for messages.

    Raises:
        DataError: more than half of them leave their photos.
    """
    leaves = leave_photos(boxes)
    if len(boxes) >= ENOUGH and 2 * leaves.sum() > len(boxes):
        raise DataError(f"{where}: {leaves.sum():,} of {len(boxes):,} boxes leave their photos; write {form}")


def cut_boxes(table: BoxTable | None, ids: Iterable[str]) -> tuple[tuple[str, ...], str]:
    """The samples whose boxes reach beyond their photos, and the number of these boxes in one line.

    Args:
        table: the boxes; None for none.
        ids: of the samples that count.
    """
    own = set(ids)
    rows = [] if table is None else [row for row, name in enumerate(table.ids) if name in own]
    if table is None or not rows:
        return (), ""
    beyond = np.flatnonzero(leave_photos(table.boxes[rows])).tolist()
    samples = tuple(dict.fromkeys(table.ids[rows[k]] for k in beyond))
    return samples, f"{len(beyond):,} of {len(rows):,} boxes leave their photos; what is outside was cut off"


FORM = "the centre x, y and the size w, h as shares of the photo's width and height"
COLUMNS, EXTRA = ("id", "x", "y", "w", "h"), ("class", "crowd", "area")
LARGEST = 1 << 30
"""Bytes of a CSV file of boxes."""


def read_box_table(file: str) -> BoxTable:
    """Read a parquet or CSV file with the columns `id, x, y, w, h`, and where known `class`, `crowd` and `area`.

    `crowd` is 1 for a region of many objects, 0 otherwise; `area` is of the object in pixels of the photo.

    Raises:
        DataError: the file cannot be read or lacks a column, a value is absent or not allowed, or a box is empty or
            outside of its photo.
    """
    path = existing(file, file, folder=False)
    try:
        found = _from_csv(path) if path.suffix.lower() == ".csv" else _from_parquet(path, file)
        _check(found)
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException, ParameterError, ValueError) as error:
        raise DataError(f"boxes in {file!r} cannot be read: {reason_of(error)}") from error
    for row, why in faults_of(found.boxes).items():
        raise DataError(
            f"boxes in {file!r}: row {row} (id {shorten(found.ids[row])}) {why}: {found.boxes[row].tolist()}; "
            f"write {FORM}"
        )
    check_spread(found.boxes, f"boxes in {file!r}", FORM)
    return found


def _check(table: BoxTable) -> None:
    """Check the columns beside the boxes."""
    if table.classes is not None:
        for row in np.flatnonzero((table.classes < 0) | (table.classes >= MAX_CLASSES)).tolist():
            raise ValueError(f"row {row}: the class {table.classes[row]} is not from 0 to {MAX_CLASSES - 1:,}")
    if table.areas is not None:
        for row in np.flatnonzero(~np.isfinite(table.areas) | (table.areas < 0)).tolist():
            raise ValueError(f"row {row}: the area {table.areas[row]} is no number of pixels")


def _from_parquet(path: Path, file: str) -> BoxTable:
    names = pq.read_schema(path).names
    _check_columns(names)
    wanted = [*COLUMNS, *(name for name in EXTRA if name in names)]
    check_parquet(path, wanted, file)
    table = pq.read_table(path, columns=wanted, memory_map=False)
    table.validate(full=True)
    for name in wanted:
        if table[name].null_count:
            row = table[name].to_pylist().index(None)
            raise ValueError(f"row {row}: the value of {name} is null")

    def numbers(name: str, kind: Any) -> NDArray[Any]:
        return np.asarray(table[name].cast(kind).to_numpy())

    return BoxTable(
        [str(name) for name in table["id"].to_pylist()],
        np.stack([numbers(name, pa.float64()) for name in COLUMNS[1:]], 1),
        numbers("class", pa.int64()) if "class" in wanted else None,
        _as_bool(numbers("crowd", pa.int64())) if "crowd" in wanted else None,
        numbers("area", pa.float64()) if "area" in wanted else None,
    )


def _from_csv(path: Path) -> BoxTable:
    if path.stat().st_size > LARGEST:
        raise ValueError("the file is too large: write it as parquet")
    ids, boxes = [], array("d")
    classes, crowd, areas = array("q"), array("q"), array("d")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        names = list(reader.fieldnames or ())
        _check_columns(names)
        for number, row in enumerate(reader):
            if number >= LARGEST_COUNT:
                raise ValueError(f"it has more than {LARGEST_COUNT:,} rows")
            if not row["id"]:
                raise ValueError(f"row {number}: the value of id is absent")
            ids.append(row["id"])
            boxes.extend(parse_number(row[name] or "", f"row {number}, {name}") for name in COLUMNS[1:])
            if "class" in names:
                classes.append(parse_whole(row["class"] or "", least=0, most=MAX_CLASSES - 1))
            if "crowd" in names:
                crowd.append(parse_whole(row["crowd"] or "", least=0, most=1))
            if "area" in names:
                areas.append(parse_number(row["area"] or "", f"row {number}, area"))
    return BoxTable(
        ids,
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(classes, np.int64) if "class" in names else None,
        _as_bool(np.array(crowd)) if "crowd" in names else None,
        np.array(areas, np.float64) if "area" in names else None,
    )


def _as_bool(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Crowd marks of 0 and 1."""
    for row in np.flatnonzero((values != 0) & (values != 1)).tolist():
        raise ValueError(f"row {row}: crowd is {values[row]}; write 1 for a region of many objects and 0 otherwise")
    return np.asarray(values > 0)


def _check_columns(names: Sequence[str]) -> None:
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise ValueError(
            f"the column {missing[0]} is missing; needed are {', '.join(COLUMNS)}, and {', '.join(EXTRA)} where known"
        )
