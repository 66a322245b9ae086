"""Labels of several classes, boxes and masks from files, with predictions: read and checked, whatever is in them."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.core.documents import check_regular, parse_json
from unshaken.core.errors import DataError
from unshaken.core.numbers import MAX_CLASSES, shorten
from unshaken.labels.find.boxes import ImageBoxes

ARRAYS = (".npy", ".npz")


def read_array(path: str | Path) -> NDArray[Any]:
    """An array from a file: `.npy`, which is mapped and not read, or `.npz` that holds one.

    Raises:
        DataError: the file is absent, damaged, of another kind, or holds several arrays.
    """
    file = Path(path)
    if file.suffix not in ARRAYS:
        raise DataError(f"{path}: arrays are read from .npy or .npz files")
    try:
        found = np.load(file, mmap_mode="r" if file.suffix == ".npy" else None, allow_pickle=False)
        if isinstance(found, np.lib.npyio.NpzFile):
            with found:
                if len(found.files) != 1:
                    raise DataError(f"{path}: holds {len(found.files)} arrays ({', '.join(found.files)}): keep one")
                return np.asarray(found[found.files[0]])
        return np.asanyarray(found)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None


def read_multi_label(path: str | Path, classes: int) -> NDArray[np.bool_]:
    """Labels of several classes: an array `[N, K]` of 0 and 1, or JSON with a list of class numbers for each sample.

    Args:
        path: `.npy`, `.npz` or `.json`.
        classes: number of classes K, for JSON.

    Raises:
        DataError: the file cannot be read, or a class is unknown or named twice.
    """
    if Path(path).suffix in ARRAYS:
        return read_array(path)
    samples = _read_json(path)
    if not isinstance(samples, list) or not all(isinstance(s, list) for s in samples):
        raise DataError(
            f"{path}: needed is a list with one list of class numbers for each sample, such as [[0, 2], []]"
        )
    found = np.zeros((len(samples), classes), bool)
    for i, sample in enumerate(samples):
        for label in sample:
            _check_class(label, classes, f"{path}: sample {i}")
            if found[i, label]:
                raise DataError(f"{path}: sample {i} names class {label} twice")
            found[i, label] = True
    return found


def read_boxes(labels: str | Path, predictions: str | Path) -> tuple[list[ImageBoxes], int, list[str]]:
    """Given and predicted boxes of images, from two JSON files as cleanlab takes them.

    Labels are a list with one table for each image: `bboxes`, a list of `[left, top, right, bottom]` in pixels, and
    `labels`, their class numbers; `image_name`, and `height` and `width` of the image, if known. Predictions are a list
    with one list for each image, which has one list for each class, of `[left, top, right, bottom, probability]`.

    Returns:
        The images, the number of classes, and a name of each image.

    Raises:
        DataError: a file cannot be read, lengths differ, a box is inverted or outside of its image, a class is unknown.
    """
    given, predicted = _read_json(labels), _read_json(predictions)
    for path, value in ((labels, given), (predictions, predicted)):
        if not isinstance(value, list) or not value:
            raise DataError(f"{path}: needed is a list with one entry for each image")
    if len(given) != len(predicted):
        raise DataError(f"{labels} has {len(given)} images, {predictions} {len(predicted)}: they must be the same")
    classes = len(predicted[0]) if isinstance(predicted[0], list) else 0
    found, names = [], []
    for i, (one, other) in enumerate(zip(given, predicted, strict=True)):
        here, there = f"{labels}: image {i}", f"{predictions}: image {i}"
        boxes, kinds = _given(one, classes, here)
        parts = _predicted(other, classes, there)
        whole = np.concatenate([np.zeros((0, 5)), *parts])
        numbers = np.repeat(np.arange(classes), [len(p) for p in parts])
        found.append(ImageBoxes(boxes, kinds, whole[:, :4], numbers, whole[:, 4]))
        names.append(str(one.get("image_name", i)))
    if len(set(names)) < len(names):
        raise DataError(f"{labels}: two images have the same image_name: give each a name of its own")
    return found, classes, names


def _given(entry: Any, classes: int, where: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    if not isinstance(entry, dict) or not {"bboxes", "labels"} <= entry.keys():
        raise DataError(f"{where}: needed is a table with bboxes and labels")
    boxes = _rows(entry["bboxes"], 4, where)
    kinds = entry["labels"]
    if not isinstance(kinds, list) or len(kinds) != len(boxes):
        raise DataError(
            f"{where}: has {len(boxes)} boxes, and labels are {shorten(kinds)}: give one class for each box"
        )
    for label in kinds:
        _check_class(label, classes, where)
    _check_boxes(boxes, where)
    for side, last, name in ((entry.get("width"), 2, "width"), (entry.get("height"), 3, "height")):
        if side is not None and not _is_number(side):
            raise DataError(f"{where}: {name} {shorten(side)} is no number of pixels")
        outside = (boxes[:, last - 2] < 0) | (boxes[:, last] > (math.inf if side is None else side))
        if outside.any():
            box = boxes[outside][0].tolist()
            raise DataError(f"{where}: box {box} lies outside of the image ({name} {side or 'unknown'})")
    return boxes, np.array(kinds, np.int64)


def _predicted(entry: Any, classes: int, where: str) -> list[NDArray[np.float64]]:
    if not isinstance(entry, list) or len(entry) != classes or not classes:
        raise DataError(f"{where}: needed is one list of boxes for each of {classes} classes, the same in all images")
    parts = [_rows(rows, 5, f"{where}, class {k}") for k, rows in enumerate(entry)]
    for k, part in enumerate(parts):
        _check_boxes(part, f"{where}, class {k}")
        wrong = (part[:, 4] < 0) | (part[:, 4] > 1)
        if wrong.any():
            raise DataError(f"{where}, class {k}: probability {part[wrong][0, 4]:g} is not in [0, 1]")
    return parts


def _rows(value: Any, width: int, where: str) -> NDArray[np.float64]:
    """A list of lists of numbers as `[n, width]`."""
    rows = value if isinstance(value, list) else [value]
    for row in rows:
        if not isinstance(row, list) or len(row) != width or not all(map(_is_number, row)):
            names = "left, top, right, bottom" + (", probability" if width == 5 else "")
            raise DataError(f"{where}: {shorten(row)} is no box; needed is a list of [{names}]")
    return np.array(rows, np.float64).reshape(-1, width)


def _check_boxes(boxes: NDArray[np.float64], where: str) -> None:
    wrong = (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
    if wrong.any():
        box = boxes[wrong][0, :4].tolist()
        raise DataError(f"{where}: box {box} is inverted or empty: write left, top, right, bottom in pixels")


def _check_class(label: object, classes: int, where: str) -> None:
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < min(classes, MAX_CLASSES):
        raise DataError(f"{where}: {shorten(label)} is no class: needed are whole numbers from 0 to {classes - 1}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read_json(path: str | Path) -> Any:
    if Path(path).suffix != ".json":
        raise DataError(f"{path}: is read from a .json file")
    check_regular(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    return parse_json(data, str(path), DataError)
