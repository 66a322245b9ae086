"""Writes the public names, for reviewers and for type checkers.

    python scripts/list_exports.py

Into tests/exports.txt, those of the package and of each room, one a line; and beside the `__init__.py` of each room a
stub, `__init__.pyi`, that says where its names are defined: type checkers and editors do not run the code by which a
room finds its classes. A test compares all with the package, so that adding a name is a line of a diff that somebody
reads.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import unshaken
from unshaken.core.room import Room, verbs_of
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
    rooms = (importlib.import_module(f"unshaken.{p.name}") for p in pkgutil.iter_modules(unshaken.__path__) if p.ispkg)
    return {Path(str(room.__file__)).with_suffix(".pyi"): _stub(room) for room in rooms if isinstance(room, Room)}


def _stub(room: Room) -> str:
    homes = {source.symbol: source.module for source in sources_of(room.__name__.partition(".")[2])}
    lines = list[str]()
    for name in sorted({*room.__all__, *verbs_of(room.__name__)}):
        module = homes.get(name) or getattr(room, name).__module__
        own = getattr(room, name).__name__
        lines.append(f"from {module} import {own} as {name}")
    return f'"""{inspect.getdoc(room)}"""\n\n' + "\n".join(sorted(lines)) + "\n"


if __name__ == "__main__":
    for file, text in {FILE: exports(), **stubs()}.items():
        file.write_text(text, encoding="utf-8")
        print(file)
