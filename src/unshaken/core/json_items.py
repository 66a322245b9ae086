"""Large JSON files read item by item, so that memory holds one item of a list and not the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from unshaken.core.documents import check_distinct, refuse_constant
from unshaken.core.errors import UnshakenError
from unshaken.core.numbers import shorten

BLOCK = 1 << 20
"""Characters that are read at once."""
LONGEST_ITEM = 32 << 20
"""Characters of one item."""
_SPACE, _NUMBER = " \t\r\n", "0123456789.eE+-"
_DECODER = json.JSONDecoder(parse_constant=refuse_constant, object_pairs_hook=check_distinct)


def json_items(path: Path, where: str, error: type[UnshakenError]) -> Iterator[tuple[str, int | None, Any]]:
    """The values of a table in a JSON file, those of its lists one by one.

    Args:
        path: of the file.
        where: the file, for messages.
        error: what is raised.

    Yields:
        The key, the number of the item in its list (None for an empty list and a value that is none), and the value.

    Raises:
        UnshakenError: of the type `error`: the file cannot be read, is no JSON or no table, is nested too deeply, has a
            key twice, or an item is longer than `LONGEST_ITEM`.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            reader = _Reader(file)
            try:
                yield from reader.table()
            except RecursionError:
                raise error(f"{where} is damaged ({reader.place}: it is nested too deeply); get it again") from None
            except ValueError as found:  # also digits beyond what an int may have, and bytes that are no UTF-8
                why = found.msg if isinstance(found, json.JSONDecodeError) else str(found).partition(";")[0]
                raise error(f"{where} is damaged ({reader.place}: {why}); get it again") from None
    except OSError as found:
        raise error(f"{where} cannot be read: {found.strerror or found}") from None


class _Reader:
    """The text of a file from a place on, a block at a time.

    Args:
        file: open at its beginning.
    """

    def __init__(self, file: TextIO) -> None:
        self.file, self.text, self.at, self.ended = file, "", 0, False
        self.place = "its beginning"

    def table(self) -> Iterator[tuple[str, int | None, Any]]:
        """Keys, numbers of items, and values."""
        if self.next() != "{":
            raise ValueError("needed is a table, which begins with {")
        keys: set[str] = set()
        for _ in self.separated("}"):
            key = self.value()
            if not isinstance(key, str):
                raise ValueError(f"{shorten(key)} is no key")
            if key in keys:
                raise ValueError(f"the key {shorten(key)} stands twice")
            keys.add(key)
            self.place = shorten(key)
            self.take(":")
            if self.next() == "[":
                number = -1
                for number, _ in enumerate(self.separated("]")):
                    self.place = f"{shorten(key)}, item {number}"
                    yield key, number, self.value()
                if number < 0:
                    yield key, None, []
            else:
                yield key, None, self.value()
        if self.next():
            raise ValueError("more stands behind its end")

    def separated(self, last: str) -> Iterator[None]:
        """One turn for each part of a table or a list: in each the part is read."""
        self.at += 1
        if self.next() == last:
            self.at += 1
            return
        while True:
            yield
            if self.next() == last:
                self.at += 1
                return
            self.take(",")

    def take(self, mark: str) -> None:
        """Go past a mark.

        Raises:
            ValueError: another character is there.
        """
        if self.next() != mark:
            raise ValueError(f"{mark!r} is missing" if self.next() else "it ends too early")
        self.at += 1

    def next(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            while self.at < len(self.text):
                if (found := self.text[self.at]) not in _SPACE:
                    return found
                self.at += 1
            if self.ended:
                return ""
            self.more(BLOCK)

    def more(self, size: int) -> None:
        """Read on, and forget what is behind."""
        block = self.file.read(size)
        self.text, self.at, self.ended = self.text[self.at :] + block, 0, not block

    def value(self) -> Any:
        """The next value.

        It is whole where a character behind it is known that no number goes on with.
        """
        if not self.next():
            raise ValueError("it ends too early")
        size = BLOCK
        while True:
            try:
                found, end = _DECODER.raw_decode(self.text, self.at)
                if self.ended or (end < len(self.text) and self.text[end] not in _NUMBER):
                    self.at = end
                    return found
            except json.JSONDecodeError:
                if self.ended:
                    raise
            if len(self.text) - self.at > LONGEST_ITEM:
                raise ValueError(f"an item is damaged, or has more than {LONGEST_ITEM >> 20} million characters")
            self.more(size)
            size *= 2
