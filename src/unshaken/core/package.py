"""`open_package`: a package's public names are its attributes, each imported when it is first used.

The names of a package are the lines of the stub beside it (`__init__.pyi`, which type checkers read too), the classes
that its files register, and the functions that `unshaken.api` makes public there. Nothing lists a name a second time.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, TypeVar

from typing_extensions import override

from unshaken.core.sources import PACKAGE, ROOMS, public_functions, sources_of

F = TypeVar("F", bound=Callable[..., Any])
_LINE = re.compile(r"^from (unshaken\.\S+) import (\w+) as ([a-zA-Z]\w*|__\w+__)$", re.MULTILINE)


def public(*addresses: str) -> Callable[[F], F]:
    """Make a function of `unshaken.api` a public name, there and elsewhere.

    The decorator is read from the text of the file, see `unshaken.core.sources.public_functions`.

    Args:
        addresses: below `unshaken`, such as `audit` or `labels.find_labels`. Where it is the name of a package, such as
            `attack`, the package is called as the function.
    """
    return lambda function: function


@cache
def homes_of(package: str) -> dict[str, tuple[str, str]]:
    """Public name of a package to the module that defines it and its name there.

    Args:
        package: its `__name__`.
    """
    stub = Path(sys.modules[package].__file__ or "").with_suffix(".pyi")
    lines = _LINE.findall(stub.read_text(encoding="utf-8")) if stub.is_file() else []
    homes = {name: (module, symbol) for module, symbol, name in lines}
    below = package.partition(".")[2]
    if below in ROOMS:
        homes |= {source.symbol: (source.module, source.symbol) for source in sources_of(below)}
    for address, source in public_functions().items():
        home, _, name = address.rpartition(".")
        if home == below and not (PACKAGE / home / name).is_dir():  # a package of that name is called as the function
            homes[name] = (source.module, source.symbol)
    return homes


def _load(module: str, symbol: str) -> Any:
    return getattr(importlib.import_module(module), symbol)


def verb_of(package: str) -> Callable[..., Any] | None:
    """The function that calling a package runs; None where it is no verb."""
    source = public_functions().get(package.partition(".")[2])
    return _load(source.module, source.symbol) if source else None


class _VerbSignature:
    """Gives the signature of a package's verb; the class `Package` has its own."""

    def __get__(self, package: ModuleType | None, owner: type) -> inspect.Signature:
        if package is None or (verb := verb_of(package.__name__)) is None:
            raise AttributeError("__signature__")
        return inspect.signature(verb)


class Package(ModuleType):
    """A package whose public names are loaded on first use, and which may be called as its verb."""

    @property
    def __all__(self) -> list[str]:
        callable_packages = [] if "." in self.__name__ else [a for a in public_functions() if "." not in a]
        return sorted({*homes_of(self.__name__), *callable_packages})

    @override
    def __getattr__(self, name: str) -> Any:
        """The public object of a name, of which only the file that defines it is imported; of `unshaken` a module."""
        if home := homes_of(self.__name__).get(name):
            return _load(*home)
        inside = f"{self.__name__}.{name}"
        if "." not in self.__name__ and not name.startswith("_") and find_spec(inside) is not None:
            return importlib.import_module(inside)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    @override
    def __setattr__(self, name: str, value: Any) -> None:
        """Keep the function of a name: the import of the module of the same name, such as `audit`, does not hide it."""
        hidden = isinstance(value, ModuleType) and name in homes_of(self.__name__)
        super().__setattr__(name, getattr(value, name) if hidden else value)

    __signature__ = _VerbSignature()

    @override
    def __dir__(self) -> list[str]:
        modules = () if "." in self.__name__ else (m.name for m in iter_modules(self.__path__) if m.name[0] != "_")
        return sorted({*self.__all__, *modules, *(name for name in super().__dir__() if name.startswith("__"))})

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Run the package's verb; see the function of the same name in `unshaken.api`."""
        if (verb := verb_of(self.__name__)) is None:
            raise TypeError(f"{self.__name__} is a package, not a function")
        return verb(*args, **options)


def open_package(name: str) -> None:
    """Give a package its public names as attributes.

    Args:
        name: the package's `__name__`.
    """
    sys.modules[name].__class__ = Package


def open_room(name: str) -> None:
    """The same for a room, a package with registered methods, whose classes are names of it too."""
    open_package(name)
