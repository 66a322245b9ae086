"""Figures of a result under nested names again, as `Paper.judge` reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from typing_extensions import override

_FIRST = re.compile(r"(?:(?!\.).|(?<=\d)\.(?=\d))+")
"""The first part of a dotted name; a dot between two digits is of a number."""


class Nested(Mapping[str, Any]):
    """A view of figures under dotted names as mappings in mappings.

    A name may hold a dot itself, as in `noise-0.1.accuracy`: what is asked for by name is found however the dots lie;
    only listing takes a dot between two digits for that of a number.

    Args:
        flat: dotted name to a figure or a plain value.
        prefix: of the names that belong to this view.

    >>> view = Nested({"noise-0.1.accuracy": 0.5, "noise-0.1.cost": 2, "n": 7})
    >>> view["noise-0.1"]["cost"], list(view), "noise-0.2" in view
    (2, ['noise-0.1', 'n'], False)
    """

    def __init__(self, flat: Mapping[str, Any], prefix: str = "") -> None:
        self._flat, self._prefix = flat, prefix

    @override
    def __getitem__(self, name: str) -> Any:
        whole = self._prefix + name
        if whole in self._flat:
            return self._flat[whole]
        if any(key.startswith(f"{whole}.") for key in self._flat):
            return Nested(self._flat, f"{whole}.")
        raise KeyError(whole)

    @override
    def __iter__(self) -> Iterator[str]:
        own = (key[len(self._prefix) :] for key in self._flat if key.startswith(self._prefix))
        return iter(dict.fromkeys(found[0] for name in own if (found := _FIRST.match(name))))

    @override
    def __len__(self) -> int:
        return sum(1 for _ in self)


def flat(figures: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested figures under one dotted name each; a figure with its interval stays whole.

    >>> flat({"photos": {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 96, "interval": "..."}, "law": 0.8}})
    {'photos.accuracy': {'value': 0.5, 'low': 0.4, 'high': 0.6, 'n': 96, 'interval': '...'}, 'photos.law': 0.8}
    """
    found: dict[str, Any] = {}
    for key, value in figures.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping) and "interval" not in value:
            found |= flat(value, f"{name}.")
        else:
            found[name] = value
    return found
