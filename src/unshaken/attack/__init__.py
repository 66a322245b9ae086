"""Searches for a worst case inside a budget. They ask the model; see `unshaken.core.driver`."""

from unshaken.core.room import open_room

__all__ = open_room(__name__)  # pyright: ignore[reportUnsupportedDunderAll]
