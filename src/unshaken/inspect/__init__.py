"""Checks of the health of a data set: copies, images that show little, labels that a property gives away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unshaken.core.imports import attribute_of
from unshaken.core.room import open_room

if TYPE_CHECKING:
    from unshaken.inspect.engine.base import Check, Issues, Measured, ScoreCheck
    from unshaken.inspect.engine.sample import DecodedSample

__all__ = [
    *open_room(__name__),  # pyright: ignore[reportUnsupportedDunderAll]
    "Check",
    "DecodedSample",
    "Issues",
    "Measured",
    "ScoreCheck",
]

_HOMES = {
    "Check": "unshaken.inspect.engine.base",
    "DecodedSample": "unshaken.inspect.engine.sample",
    "Issues": "unshaken.inspect.engine.base",
    "Measured": "unshaken.inspect.engine.base",
    "ScoreCheck": "unshaken.inspect.engine.base",
}


def __getattr__(name: str) -> Any:
    return attribute_of(__name__, name, _HOMES)
