"""Figures with intervals as the flat numbers that tracking services store."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

_NAMED_BY = ("condition", "candidate_name", "id", "label", "name", "detector", "method")
"""Keys of an entry of a list that name it, the most exact first."""
_ENDS = {"": "value", "_low": "low", "_high": "high"}


def metrics_of(data: Mapping[str, Any]) -> dict[str, float]:
    """Every figure of a JSON document: its value, and the ends of its interval as `_low` and `_high`.

    Args:
        data: a document with figures, `{"value", "low", "high", "n"}`, anywhere in it, such as `summary.json`.

    Returns:
        Name to finite number; a name is the path to the figure, an entry of a list is named by its condition.

    >>> metrics_of({"clean": {"value": 0.9, "low": 0.8, "high": 0.95, "n": 40}})
    {'clean': 0.9, 'clean_low': 0.8, 'clean_high': 0.95}
    """
    found: dict[str, float] = {}
    for path, figure in _figures(data, ()):
        name = _plain(".".join(path))
        for tail, end in _ENDS.items():
            value = figure.get(end)
            if isinstance(value, int | float) and math.isfinite(value):
                found.setdefault(name + tail, float(value))
    return found


def _figures(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        if {"value", "low", "high"} <= value.keys():
            yield path, value
            return
        for key, inner in value.items():
            yield from _figures(inner, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            own = _own_name(inner) if isinstance(inner, Mapping) else None
            yield from _figures(inner, (*path, own or str(number)))


def _own_name(entry: Mapping[str, Any]) -> str | None:
    return next((str(entry[k]) for k in _NAMED_BY if isinstance(entry.get(k), str)), None)


def _plain(name: str) -> str:
    """A name of the characters that every service takes."""
    return re.sub(r"[^\w./ -]", "_", name, flags=re.ASCII)[:200]
