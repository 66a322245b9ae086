"""Guarantees: what can be ruled out, sample by sample, and the defences that they speak of."""

from unshaken.core.room import open_room

__all__ = open_room(__name__)  # pyright: ignore[reportUnsupportedDunderAll]
