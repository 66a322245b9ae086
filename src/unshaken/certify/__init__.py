"""Certificates of robustness, and the defences that they certify."""

from unshaken.core.room import open_room

__all__ = open_room(__name__)  # pyright: ignore[reportUnsupportedDunderAll]
