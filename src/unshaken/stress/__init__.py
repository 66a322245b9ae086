"""Changes to an image that never ask the model: corruptions, translation and their kin."""

from unshaken.core.room import open_room

__all__ = open_room(__name__)  # pyright: ignore[reportUnsupportedDunderAll]
