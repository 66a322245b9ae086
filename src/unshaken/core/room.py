"""`open_room`: a room's package gives its registered classes as attributes, each imported when it is first used."""

from __future__ import annotations

import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from typing_extensions import override

from unshaken.core.sources import sources_of

Verb = Callable[..., Any]

_verbs: dict[str, Callable[[], Verb]] = {}


def bind_verb(room: str, load: Callable[[], Verb]) -> None:
    """Say what calling a room does, as in `unshaken.attack(...)`.

    Args:
        room: the package's `__name__`.
        load: gives the function; asked at the first call.
    """
    _verbs[room] = load


class _VerbSignature:
    """Gives the signature of a room's verb; the class `Room` has its own."""

    def __get__(self, room: ModuleType | None, owner: type) -> inspect.Signature:
        if room is None or room.__name__ not in _verbs:
            raise AttributeError("__signature__")
        return inspect.signature(_verbs[room.__name__]())


class Room(ModuleType):
    """A package whose registered classes are its attributes, and which may be called as its verb."""

    @override
    def __getattr__(self, name: str) -> Any:
        """The registered class of a name; only the file that defines it is imported."""
        for source in sources_of(self.__name__.partition(".")[2]):
            if source.symbol == name:
                found = getattr(importlib.import_module(source.module), name)
                self.__dict__[name] = found
                return found
        renamed: dict[str, str] = self.__dict__.get("_renamed", {})
        if name in renamed:
            new = renamed[name]
            warnings.warn(f"{self.__name__}.{name} is now {self.__name__}.{new}", DeprecationWarning, stacklevel=2)
            return getattr(self, new)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    __signature__ = _VerbSignature()

    @override
    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__all__})

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run the room's verb; see the function of the same name in `unshaken.api`."""
        if self.__name__ not in _verbs:
            raise TypeError(f"{self.__name__} is a room, not a verb")
        return _verbs[self.__name__]()(*args, **options)


def open_room(name: str, renamed: Mapping[str, str] | None = None) -> list[str]:
    """Give a package its registered classes as attributes.

    Args:
        name: the package's `__name__`.
        renamed: former public names to present ones; a former name still works, with a `DeprecationWarning`.

    Returns:
        The names of its registered classes, for `__all__`.
    """
    sys.modules[name].__class__ = Room
    sys.modules[name].__dict__["_renamed"] = dict(renamed or {})
    return sorted(source.symbol for source in sources_of(name.partition(".")[2]))
