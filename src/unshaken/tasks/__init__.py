"""Tasks beside plain classification: a task says what a model's output means, and which rows and figures follow."""

from unshaken.core.room import open_room

__all__ = [*open_room(__name__)]  # pyright: ignore[reportUnsupportedDunderAll]
