"""Writes the public names, for reviewers and for type checkers.

    python scripts/list_exports.py

Into tests/exports.txt, those of the package and of each room, one a line; and beside the `__init__.py` of each room a
stub, `__init__.pyi`, that says where its names are defined: type checkers and editors do not run the code by which a
room finds its classes. For them a module is not callable either: the stub of the package itself gives each room that is
called as its verb, such as `unshaken.detect`, a class with that call and the room's names. A test compares all with the
package, so that adding a name is a line of a diff that somebody reads.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

import unshaken
from unshaken.core.room import Room, verb_of, verbs_of
from unshaken.core.sources import sources_of

FILE = Path(__file__).resolve().parents[1] / "tests" / "exports.txt"
BELOW = ("unshaken.tasks.image_text", "unshaken.tasks.ranking")
"""Packages below rooms whose names users import from there."""


def exports() -> str:
    """Each package with public names, and below it the names, sorted."""
    packages = ["unshaken", *(f"unshaken.{p.name}" for p in pkgutil.iter_modules(unshaken.__path__) if p.ispkg), *BELOW]
    lines = list[str]()
    for package in sorted(packages):
        names = sorted(getattr(importlib.import_module(package), "__all__", ()))
        lines += [package, *(f"    {name}" for name in names)] if names else []
    return "\n".join(lines) + "\n"


def stubs() -> dict[Path, str]:
    """The stub of each room, by its file."""
    packages = (
        importlib.import_module(f"unshaken.{p.name}") for p in pkgutil.iter_modules(unshaken.__path__) if p.ispkg
    )
    rooms = [room for room in packages if isinstance(room, Room)]
    texts = {room.__file__: _stub(room, {*room.__all__, *verbs_of(room.__name__)}) for room in rooms}
    texts[unshaken.__file__] = _package_stub([room for room in rooms if verb_of(room.__name__)])
    return {Path(str(file)).with_suffix(".pyi"): text for file, text in texts.items()}


def _stub(package: ModuleType, names: Iterable[str]) -> str:
    homes = {source.symbol: source.module for source in sources_of(package.__name__.partition(".")[2])}
    lines = list[str]()
    for name in names:
        public = getattr(package, name)
        lines.append(f"from {homes.get(name) or public.__module__} import {public.__name__} as {name}")
    return f'"""{inspect.getdoc(package)}"""\n\n' + "\n".join(sorted(lines)) + "\n"


def _package_stub(callable_rooms: Sequence[Room]) -> str:
    """The stub of the package itself: its names and modules, and a class of each room that is called as its verb."""
    called = {room.__name__.rpartition(".")[2]: room for room in callable_rooms}
    text = _stub(unshaken, {*unshaken.__all__} - {"__version__", *called})
    text += "from unshaken.core.version import __version__ as __version__\n"
    modules = [name for name in dir(unshaken) if name not in {*unshaken.__all__, *called}]
    text += "\n" + "".join(f"from unshaken import {name} as {name}\n" for name in modules)
    for name, room in called.items():
        verb, names = verb_of(room.__name__), sorted({*room.__all__, *verbs_of(room.__name__)})
        functions = [one for one in names if not inspect.isclass(getattr(room, one))]
        text += f"\nfrom {verb.__module__} import {verb.__name__} as _{name}\n"
        text += "".join(f"from {room.__name__} import {one} as _{name}_{one}\n" for one in functions)
        text += f"\nclass _{name.title()}:\n"
        text += "".join(f"    from {room.__name__} import {one} as {one}\n" for one in names if one not in functions)
        text += "".join(f"    {one} = staticmethod(_{name}_{one})\n" for one in functions)
        text += f"    __call__ = staticmethod(_{name})\n\n{name}: _{name.title()}\n"
    return text


if __name__ == "__main__":
    for file, text in {FILE: exports(), **stubs()}.items():
        file.write_text(text, encoding="utf-8")
        print(file)
