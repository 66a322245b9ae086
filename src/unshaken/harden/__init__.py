"""How to make a model hold: training recipes for one loop, weight surgery, and defences at inference."""

from unshaken.core.room import open_room

__all__ = open_room(__name__)  # pyright: ignore[reportUnsupportedDunderAll]
