"""Writes the public names, for reviewers, for type checkers and for the packages themselves.

    python scripts/list_exports.py

Into `__init__.pyi` beside the `__init__.py` of each package that opens its names (`unshaken.core.package`): a line a
name. Those of registered classes and of public functions are made here; every other line is kept as somebody wrote it,
as long as what it names exists. Into tests/exports.txt the names of each package, one a line. Into docs/names.md the
table of commands and the functions that do the same. A test compares all with the package, so that adding a name is a
line of a diff that somebody reads. For type checkers a module is not callable: the stub of `unshaken` gives each
package that is called as its verb, such as `unshaken.detect`, a class with that call and the package's names.
"""

from __future__ import annotations

import importlib
import inspect
import operator
import pkgutil
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import unshaken
from unshaken.cli.app import build_command
from unshaken.core.package import homes_of, verb_of
from unshaken.core.sources import PACKAGE, module_of

FILE = Path(__file__).resolve().parents[1] / "tests" / "exports.txt"
NAMES = FILE.parents[1] / "docs" / "names.md"
HEAD = "| command | in Python | gives |\n|---|---|---|"
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
    """The stub of each package that opens its names, by its file."""
    files = sorted(path for path in PACKAGE.rglob("__init__.py") if "\nopen_" in path.read_text(encoding="utf-8"))
    opened = [importlib.import_module(module_of(file)) for file in files if file.parent != PACKAGE]
    texts = {package.__file__: _stub(package) for package in opened}
    texts[unshaken.__file__] = _package_stub([package for package in opened if verb_of(package.__name__)])
    return {Path(str(file)).with_suffix(".pyi"): text for file, text in texts.items()}


def _stub(package: ModuleType) -> str:
    lines = [
        f"from {module} import {symbol} as {name}"
        for name, (module, symbol) in homes_of(package.__name__).items()
        if find_spec(module) and hasattr(importlib.import_module(module), symbol)
    ]
    return f'"""{inspect.getdoc(package)}"""\n\n' + "\n".join(sorted(lines)) + "\n"


def _package_stub(callable_rooms: Sequence[ModuleType]) -> str:
    """The stub of the package itself: its names and modules, and a class of each room that is called as its verb."""
    called = {room.__name__.rpartition(".")[2]: room for room in callable_rooms}
    text = _stub(unshaken)
    modules = [m.name for m in pkgutil.iter_modules(unshaken.__path__) if m.name[0] != "_" and m.name not in called]
    text += "\n" + "".join(f"from unshaken import {name} as {name}\n" for name in modules)
    for name, room in called.items():
        verb, names = verb_of(room.__name__), room.__all__
        functions = [one for one in names if not inspect.isclass(getattr(room, one))]
        text += f"\nfrom {verb.__module__} import {verb.__name__} as _{name}\n"
        text += "".join(f"from {room.__name__} import {one} as _{name}_{one}\n" for one in functions)
        text += f"\nclass _{name.title()}:\n"
        text += "".join(f"    from {room.__name__} import {one} as {one}\n" for one in names if one not in functions)
        text += "".join(f"    {one} = staticmethod(_{name}_{one})\n" for one in functions)
        text += f"    __call__ = staticmethod(_{name})\n\n{name}: _{name.title()}\n"
    return text


def names_page() -> str:
    """The page docs/names.md with the table of each command, its function in Python, and what that returns."""
    before, _, rest = NAMES.read_text(encoding="utf-8").partition(HEAD)
    rows = "".join(f"| {row} |\n" for row in _functions(build_command(), "unshaken"))
    return before + HEAD + "\n" + rows + "\n" + rest.partition("\n\n")[2]


def _functions(command: Any, words: str) -> Iterator[str]:
    if address := getattr(command.callback, "python", ""):
        signature = inspect.signature(operator.attrgetter(address)(unshaken))
        arguments = [
            "*" * (p.kind is p.VAR_POSITIONAL) + name + "=..." * (p.kind is p.KEYWORD_ONLY)
            for name, p in signature.parameters.items()
            if p.kind is not p.VAR_KEYWORD and (p.kind is not p.KEYWORD_ONLY or p.default is p.empty)
        ]
        gives = signature.return_annotation
        gives = gives if isinstance(gives, str) else getattr(gives, "__name__", str(gives))
        yield f"`{words}` | `unshaken.{address}({', '.join(arguments)})` | `{gives}`"
    for name, one in getattr(command, "commands", {}).items():
        yield from _functions(one, f"{words} {name}")


if __name__ == "__main__":
    for file, text in {FILE: exports(), NAMES: names_page(), **stubs()}.items():
        file.write_text(text, encoding="utf-8")
        print(file)
