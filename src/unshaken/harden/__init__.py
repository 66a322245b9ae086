"""Training of robust models: recipes for one loop, weight surgery, and inference-time defences."""

from unshaken.core.room import open_room

__all__ = open_room(__name__)  # pyright: ignore[reportUnsupportedDunderAll]
