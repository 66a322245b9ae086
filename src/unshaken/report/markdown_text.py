"""Markdown that shows any text as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

_MARKS = re.compile(r"([\\`*_{}\[\]<>()#!|~&$^@]|^[-+=])")


def escape(text: object) -> str:
    """Text that Markdown shows as it is, in one line: no markup, no HTML, no table cell ends."""
    line = " ".join(str(text).split())
    return _MARKS.sub(r"\\\1", line)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already; all columns but the first are aligned right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
