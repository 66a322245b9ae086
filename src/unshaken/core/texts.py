"""`NAME[:k=v,...]` taken apart, and texts of strangers made safe to show."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from unshaken.core.errors import ParameterError
from unshaken.core.numbers import shorten

PLUS = "%2B"
"""How a `+` is written inside one of several values that are joined by `+`."""


def parse_values(text: str) -> tuple[str, dict[str, str]]:
    """The name, and the values by key, still as text.

    Raises:
        ParameterError: a part is not `key=value`, a key comes twice, or there is space around the name.

    >>> parse_values("pgd:steps=40,step_size=2/255")
    ('pgd', {'steps': '40', 'step_size': '2/255'})
    """
    name, colon, rest = text.partition(":")
    if name != name.strip():
        raise ParameterError(f"{shorten(text)}: remove the space around {shorten(name.strip())}")
    values: dict[str, str] = {}
    for part in rest.split(",") if rest or colon else ():
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ParameterError(f"{shorten(text)}: {shorten(part)} is not of the form key=value")
        key, value = key.strip(" "), value.strip(" ")
        if key in values:
            raise ParameterError(f"{shorten(text)}: {key!r} is given twice: give it once")
        values[key] = value
    return name, values


def printable(text: str) -> str:
    """Text that cannot steer a terminal: a character that is not printable becomes its escape.

    >>> printable("one" + chr(27) + "[31mtwo") == "one" + chr(92) + "x1b[31mtwo"
    True
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def cell(value: object) -> object:
    """A value for a CSV file that people open in a spreadsheet: a text that would be a formula there stays a text.

    Args:
        value: numbers stay as they are; a text that begins with `=`, `+`, `-` or `@` gets an apostrophe before it, and
            its characters that are not printable become escapes.

    >>> cell("=HYPERLINK(A1)"), cell(-1.5), cell("dark/0.png")
    ("'=HYPERLINK(A1)", -1.5, 'dark/0.png')
    """
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) or value[:1] in ("\t", "\r") else text


def csv_text(names: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A table as CSV, each value as `cell` writes it.

    Args:
        names: of the columns.
        rows: values in the order of the names.

    >>> csv_text(["id", "note"], [["a", "=1"], ["b", None]]).splitlines()
    ['id,note', "a,'=1", 'b,']
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([cell(value) for value in row] for row in (names, *rows))
    return text.getvalue()


def first_line(error: BaseException) -> str:
    """The first line of an error's message, 200 characters at most, or its class where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
