"""`open_room`: a room's package gives its registered classes as attributes, each imported when it is first used."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from typing_extensions import override

from unshaken.core.sources import sources_of

Verb = Callable[..., Any]

_verbs: dict[str, Callable[[], Verb]] = {}


def bind_verb(address: str, load: Callable[[], Verb]) -> None:
    """Say what calling a room does, as in `unshaken.attack(...)`, or which function of a higher package it offers.

    Args:
        address: the package's `__name__`; or this and the function's name there, such as `unshaken.labels.find_labels`.
        load: gives the function; asked when it is first used.
    """
    _verbs[address] = load


def verbs_of(package: str) -> list[str]:
    """Names of the functions of a higher package that a package offers."""
    return [name for home, _, name in (address.rpartition(".") for address in _verbs) if home == package]


def verb_of(package: str) -> Verb | None:
    """The function that calling a package runs; None where it is no verb."""
    return _verbs[package]() if package in _verbs else None


class _VerbSignature:
    """Gives the signature of a room's verb; the class `Room` has its own."""

    def __get__(self, room: ModuleType | None, owner: type) -> inspect.Signature:
        if room is None or (verb := verb_of(room.__name__)) is None:
            raise AttributeError("__signature__")
        return inspect.signature(verb)


class Room(ModuleType):
    """A package whose registered classes are its attributes, and which may be called as its verb."""

    @override
    def __getattr__(self, name: str) -> Any:
        """The registered class of a name, of which only the file that defines it is imported; or a bound function."""
        if (address := f"{self.__name__}.{name}") in _verbs:
            return _verbs[address]()
        for source in sources_of(self.__name__.partition(".")[2]):
            if source.symbol == name:
                found = getattr(importlib.import_module(source.module), name)
                self.__dict__[name] = found
                return found
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    __signature__ = _VerbSignature()

    @override
    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__all__})

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run the room's verb; see the function of the same name in `unshaken.api`."""
        if (verb := verb_of(self.__name__)) is None:
            raise TypeError(f"{self.__name__} is a room, not a verb")
        return verb(*args, **options)


def open_room(name: str) -> list[str]:
    """Give a package its registered classes as attributes.

    Args:
        name: the package's `__name__`.

    Returns:
        The names of its registered classes, for `__all__`.
    """
    sys.modules[name].__class__ = Room
    return sorted(source.symbol for source in sources_of(name.partition(".")[2]))
