"""`read_table`: columns of a CSV file, whatever is in it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from unshaken.core.documents import read_text
from unshaken.core.errors import DataError
from unshaken.core.numbers import shorten

LARGEST = 1 << 30
"""Bytes of a file."""


def read_table(path: Path, names: Sequence[str], what: str) -> list[list[str]]:
    """Some columns of a CSV file with a heading, surrounding space cut off.

    Args:
        path: of the file.
        names: of the columns that it must have.
        what: it holds, for messages.

    Raises:
        DataError: it cannot be read, lacks a column, has a line that is too short, or no line at all.
    """
    try:
        lines = list(csv.reader(io.StringIO(read_text(path, LARGEST).removeprefix("\ufeff"), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{what}: cannot read {str(path)!r} ({getattr(error, 'strerror', None) or error})") from None
    head = [name.strip() for name in lines[0]] if lines else []
    lost = [name for name in names if name not in head]
    if lost:
        met = ", ".join(map(shorten, head)) or "nothing"
        raise DataError(f"{what}: {str(path)!r} has no column {lost[0]!r}; its heading has {met}")
    places, found = [head.index(name) for name in names], []
    for number, line in enumerate(lines[1:], 2):
        if line and len(line) <= max(places):
            raise DataError(f"{path}, line {number}: {len(line)} values, but the heading has {len(head)}")
        if line:
            found.append([line[place].strip() for place in places])
    if not found:
        raise DataError(f"{what}: {str(path)!r} has a heading and no line")
    return found
