"""`open_room`: a room's package finds its methods by itself, and may be called as its verb."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from unshaken.core.registry import discover


class Room(ModuleType):
    """A package whose registered classes are its attributes; `unshaken.attack(...)` calls its verb."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run the room's verb; see the function of the same name in `unshaken.api`."""
        verb = self.__dict__["_verb"]
        if verb is None:
            raise TypeError(f"{self.__name__} is a room, not a verb")
        return getattr(importlib.import_module("unshaken.api"), verb)(*args, **options)


def open_room(name: str, path: list[str], verb: str | None = None) -> list[str]:
    """Import every file of a room and put its registered classes into the package.

    Args:
        name: the package's `__name__`.
        path: its `__path__`.
        verb: the function of `unshaken.api` that calling the package means.

    Returns:
        The names of the classes, for `__all__`.
    """
    module = sys.modules[name]
    methods = discover(name, path)
    module.__class__ = Room
    module.__dict__.update(methods, _verb=verb)
    return sorted(methods)
