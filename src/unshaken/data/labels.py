"""From a column of labels, whatever its type, to int64 labels, class names, and the reasons of bad ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from unshaken.core.documents import LONGEST_NAMES, read_text
from unshaken.core.errors import DataError
from unshaken.data.spec import reason_of

Labels = tuple[NDArray[np.int64] | None, tuple[str, ...], dict[int, str]]
"""Labels `[N]` with -1 where bad (None: there are none at all), class names, the reason of each bad one by index."""


def labels_from(column: Any, classes: Sequence[str], source: str) -> Labels:
    """Read a column of labels.

    Whole numbers are labels as they stand. Strings are mapped to `classes`, or, when that is empty, to their own
    sorted names. A float is a label when it is whole (a column of integers with a gap becomes floats in many tools).
    Anything else is a bad sample: null, not whole, negative, beyond `classes`, not among `classes`.

    Args:
        column: a pyarrow array or chunked array.
        classes: names in label order, or empty when unknown.
        source: what to call the data in a message.

    Raises:
        DataError: the column's type is neither integer, bool, string nor float; or strings meet ambiguous `classes`.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if str(column.type) in ("large_string", "string_view"):
        column = column.cast(pa.string())
    kind = column.type
    if column.null_count == len(column):
        return None, tuple(classes), {}
    bad: dict[int, str] = dict.fromkeys(np.flatnonzero(_numpy(pc.is_null(column))).tolist(), "the label is null")
    if pa.types.is_string(kind):
        return _from_strings(column, classes, source, bad)
    if pa.types.is_floating(kind):
        raw = _numpy(column.cast(pa.float64()).fill_null(0.0))
        whole = np.isfinite(raw) & (raw == np.floor(raw)) & (np.abs(raw) < 2**53)
        for i in np.flatnonzero(~whole).tolist():
            bad.setdefault(i, f"label {raw[i]} is not a whole number")
        values = np.where(whole, raw, 0).astype(np.int64)
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        if pa.types.is_uint64(kind):
            over = _numpy(pc.greater(column, pa.scalar(2**63 - 1, pa.uint64())).fill_null(False))
            bad.update(dict.fromkeys(np.flatnonzero(over).tolist(), "the label does not fit 64 bits"))
            column = pc.if_else(pa.chunked_array([pa.array(over)]), pa.scalar(0, pa.uint64()), column)
        values = _numpy(column.cast(pa.int64()).fill_null(0)).astype(np.int64)
    else:
        raise DataError(f"data {source!r}: labels of type {kind} are not integers or strings; cast the column")
    top = len(classes) or None
    for i in np.flatnonzero((values < 0) | (values >= (top or np.iinfo(np.int64).max))).tolist():
        why = "is negative" if values[i] < 0 else f"is out of range: there are {top} classes"
        bad.setdefault(i, f"label {values[i]} {why}")
    values[list(bad)] = -1
    return values, tuple(classes), bad


def labels_from_lists(column: Any, classes: Sequence[str], source: str) -> Labels:
    """Read a column whose values are lists of the labels that are valid for an image, as ImageNet-Hard has them.

    Each different set of labels is a class of its own, called by the names of all its labels, a semicolon between each
    two.

    Args:
        column: a pyarrow array of lists of whole numbers.
        classes: names in label order; empty where a label is called by its number.
        source: what to call the data in a message.

    Raises:
        DataError: the lists are not of whole numbers.
    """
    if not pa.types.is_integer(column.type.value_type):
        raise DataError(
            f"data {source!r}: column 'label' holds lists of {column.type.value_type}, not of whole numbers"
        )
    bad, sets = dict[int, str](), list[tuple[int, ...]]()
    for i, value in enumerate(column.to_pylist()):
        own = tuple(sorted({-1 if k is None else k for k in value or ()}))
        if not own:
            bad[i] = "there is no label"
        elif own[0] < 0 or (classes and own[-1] >= len(classes)):
            bad[i] = f"labels {list(own)} are not all from 0 to {len(classes) - 1 if classes else 'K - 1'}"
        sets.append(own)
    known = sorted({own for i, own in enumerate(sets) if i not in bad})
    place = {own: k for k, own in enumerate(known)}
    labels = np.array([-1 if i in bad else place[own] for i, own in enumerate(sets)], np.int64)
    return labels, tuple("; ".join(classes[k] if classes else str(k) for k in own) for own in known), bad


def read_classes(path: Path, source: str) -> tuple[str, ...]:
    """Class names from a text file: line n, counting from 0, names label n; after a tab, if the line has one.

    Raises:
        DataError: the file cannot be read or names nothing.
    """
    return tuple(line.rpartition("\t")[2].strip() for line in read_class_lines(path, source))


def read_class_lines(path: Path, source: str) -> list[str]:
    """The lines of a file of class names, empty ones at its end left out.

    Raises:
        DataError: the file cannot be read or names nothing.
    """
    try:
        lines = read_text(path, LONGEST_NAMES).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"data {source!r}: class names in {str(path)!r} cannot be read: {reason_of(error)}") from error
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DataError(f"data {source!r}: {str(path)!r} holds no class names")
    return lines


def _from_strings(column: Any, classes: Sequence[str], source: str, bad: dict[int, str]) -> Labels:
    names = tuple(classes) or tuple(sorted(v for v in pc.unique(column).to_pylist() if v is not None))
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(f"data {source!r}: class name {twice[0]!r} stands for several labels; store labels as integers")
    place = {name: i for i, name in enumerate(names)}
    values = np.full(len(column), -1, np.int64)
    for i, name in enumerate(column.to_pylist()):
        values[i] = place.get(name, -1)
        if values[i] < 0 and name is not None:
            bad[i] = f"label {name!r} is not one of the {len(names)} class names"
    return values, names, bad


def _numpy(column: Any) -> NDArray[Any]:
    """A copy as a numpy array, whichever kind of pyarrow array it was."""
    return np.array(column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False))
