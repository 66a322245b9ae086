"""`Attributes`: what the graph file says of one node, read strictly."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from unshaken.core.numbers import shorten

_LARGEST = 1 << 31


class Attributes:
    """The attributes of a node, by name and type.

    Args:
        values: as the JSON file has them, such as `{"strides": {"list": {"i": ["1", "2", "2", "1"]}}}`.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def whole_numbers(self, name: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """A list of whole numbers.

        Raises:
            ValueError: it is absent without a default, or no such list.
        """
        if default is not None and name not in self._values:
            return default
        found = self._value(name, "list", None)
        items = found.get("i", []) if isinstance(found, Mapping) else None
        if not isinstance(items, list) or len(items) > 16:
            raise ValueError(f"its attribute {name} is no list of whole numbers")
        return tuple(_whole(item, name) for item in items)

    def number(self, name: str, default: float) -> float:
        """A number, or the default where it is absent.

        Raises:
            ValueError: it is no number.
        """
        found = self._value(name, "f", default)
        if isinstance(found, bool) or not isinstance(found, int | float) or abs(found) > _LARGEST:
            raise ValueError(f"its attribute {name} is {shorten(found)}, which is no number")
        return float(found)

    def flag(self, name: str) -> bool:
        """A truth value, false where it is absent.

        Raises:
            ValueError: it is something else.
        """
        found = self._value(name, "b", False)
        if not isinstance(found, bool):
            raise ValueError(f"its attribute {name} is {shorten(found)}, not true or false")
        return found

    def text(self, name: str, default: str) -> str:
        """A text, which the file has in base 64.

        Raises:
            ValueError: it is none.
        """
        found = self._value(name, "s", None)
        return default if found is None else _text(found, name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, empty where it is absent.

        Raises:
            ValueError: it is none.
        """
        found = self._value(name, "list", {})
        items = found.get("s", []) if isinstance(found, Mapping) else None
        if not isinstance(items, list) or len(items) > 16:
            raise ValueError(f"its attribute {name} is no list of texts")
        return tuple(_text(item, name) for item in items)

    def _value(self, name: str, kind: str, default: Any) -> Any:
        entry = self._values.get(name)
        if entry is None:
            if default is None and kind == "list":
                raise ValueError(f"its attribute {name} is missing")
            return default
        if not isinstance(entry, Mapping):
            raise ValueError(f"its attribute {name} is {shorten(entry)}")
        return entry.get(kind, default)


def _whole(item: Any, name: str) -> int:
    """A whole number; the file may have it as text."""
    if isinstance(item, str) and item.removeprefix("-").isdecimal() and len(item) < 12:
        item = int(item)
    if isinstance(item, bool) or not isinstance(item, int) or abs(item) > _LARGEST:
        raise ValueError(f"its attribute {name} has {shorten(item)}, which is no whole number")
    return item


def _text(item: Any, name: str) -> str:
    try:
        return base64.b64decode(item, validate=True).decode("ascii")
    except (TypeError, ValueError, binascii.Error):
        raise ValueError(f"its attribute {name} is {shorten(item)}, which is no text in base 64") from None
