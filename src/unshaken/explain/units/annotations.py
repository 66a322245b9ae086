"""Descriptions of units in a table: `layer,unit,description`, as MILAN's annotations are released."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from unshaken.core.documents import LONGEST_NAMES, read_text
from unshaken.core.errors import DataError
from unshaken.core.numbers import parse_whole, shorten

HEAD = ("layer", "unit")
TEXTS = ("description", "summary", "annotation")
"""Names of the column of texts, in the order in which they are looked for."""


def read_annotations(path: str | Path) -> dict[tuple[str, int], list[str]]:
    """The descriptions of each unit, by layer and number.

    A layer is a text, also where it is called by digits. Other columns are left out.

    Args:
        path: a CSV file with a head.

    Raises:
        DataError: it cannot be read, a column is absent, or a unit is no number.
    """
    try:
        lines = list(csv.reader(read_text(Path(path), LONGEST_NAMES).splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"annotations {str(path)!r} cannot be read ({error})") from None
    head = lines[0] if lines else []
    text = next((name for name in TEXTS if name in head), None)
    if text is None or any(name not in head for name in HEAD):
        raise DataError(f"annotations {str(path)!r} have the columns {head}: expected layer,unit,description")
    layer_at, unit_at, text_at = (head.index(name) for name in (*HEAD, text))
    found: dict[tuple[str, int], list[str]] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        if len(line) != len(head):
            raise DataError(f"annotations {str(path)!r}, line {number}: {len(line)} values for {len(head)} columns")
        if line[text_at].strip():
            key = line[layer_at], parse_whole(line[unit_at], least=0)
            found.setdefault(key, []).append(line[text_at].strip())
    if not found:
        raise DataError(f"annotations {str(path)!r} hold no description: {shorten(','.join(head))} is all there is")
    return found


def texts_of(annotations: Mapping[tuple[str, int], list[str]], layer: str, unit: int) -> list[str]:
    """A unit's descriptions; none where it has none."""
    return annotations.get((layer, unit), [])
