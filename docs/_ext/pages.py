"""Writes the pages that follow from the code: the registry's methods, the API of each room, and the pages of rows."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shutil
import sys
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

from docstrings import to_rest

import unshaken
from unshaken.cli.list import bounds_of, default_of, type_of
from unshaken.core.registry import Method, list_methods
from unshaken.core.sources import sources_of


def cell(text: str) -> str:
    """Text that may stand in a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|") or " "


def entry(method: Method) -> str:
    """One method as Markdown."""
    facts = [("needs of the model", ", ".join(sorted(method.needs))), ("norms", ", ".join(method.norms))]
    facts += sorted(method.tags.items())
    facts += [("reference", method.reference), ("class", f"`{method.cls.__module__}.{method.cls.__qualname__}`")]
    lines = [f"### {method.name}", "", method.summary, ""]
    lines += [f"- {name}: {cell(value)}" for name, value in facts if value]
    parameters = method.parameters()
    if parameters:
        lines += ["", "| parameter | type | default | bounds | what it is |", "|---|---|---|---|---|"]
    for name, schema in parameters.items():
        default = f"`{default_of(schema['default'])}`" if "default" in schema else "required"
        row = [f"`{name}`", type_of(schema), default, bounds_of(schema), schema.get("description", "")]
        lines.append(f"| {' | '.join(cell(value) for value in row)} |")
    return "\n".join([*lines, ""])


def methods_page() -> str:
    """Every method of the registry, room by room."""
    methods = list_methods()
    head = (
        f"# Methods\n\nAll {len(methods)} methods, as the registry knows them; `unshaken list KIND` prints the same. "
        "On the command line a method is written `NAME` or `NAME:parameter=value,...`. Several values have `+` between "
        "them, as in `radii=0.25+1/2`, on the command line and in plans; a `+` inside one of them is `%2B`.\n"
    )
    rooms = groupby(methods, key=lambda method: method.room)
    return "\n".join([head, *(f"## {room}\n\n" + "\n".join(map(entry, group)) for room, group in rooms)])


FRAME = "unshaken.papers"
"""Of the papers the frame alone is an API: each row has a page of its own."""


def packages_of(package: str) -> list[str]:
    """A package and the public packages below it, by full name: those with methods first, machinery last."""
    found = importlib.import_module(package)
    inner = [m.name for m in pkgutil.iter_modules(found.__path__, f"{package}.") if m.ispkg and is_public(m.name)]
    inner.sort(key=lambda name: (name.endswith(".engine"), name))
    return [package, *(name for below in inner for name in packages_of(below))]


def modules_of(package: str, room: str) -> list[str]:
    """The public modules that stand in a package itself, by full name: those that hold methods first."""
    methods = {source.module for source in sources_of(room)}
    found = importlib.import_module(package)
    names = [m.name for m in pkgutil.iter_modules(found.__path__, f"{package}.") if not m.ispkg and is_public(m.name)]
    return sorted(names, key=lambda name: (name not in methods, name))


def is_public(module: str) -> bool:
    """Whether the last part of a module's name has no underscore before it."""
    return not module.rpartition(".")[2].startswith("_")


def names_table(module: ModuleType) -> list[str]:
    """What can be imported from a package directly: each public name with the first line of its docstring."""
    rows = []
    for name in sorted(getattr(module, "__all__", [])):
        value = getattr(module, name)
        if not isinstance(value, type) and not callable(value):
            rows.append((f"``{name}``", ""))
            continue
        home = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', name)}"
        summary = (getattr(value, "__doc__", None) or "").strip().partition("\n")[0]
        rows.append((f":py:obj:`{name} <{home}>`", to_rest(summary)))
    if not rows:
        return []
    head = [".. list-table:: Public names", "   :widths: 30 70", ""]
    return [*head, *(line for name, text in rows for line in (f"   * - {name}", f"     - {text}")), ""]


def heading(text: str, mark: str) -> list[str]:
    """A heading of reStructuredText."""
    return [text, mark * len(text), ""]


def room_page(room: str) -> str:
    """The API of one room: its public names, then a section for each folder; methods first, machinery last."""
    parts = [*heading(room, "="), f".. automodule:: {room}", "   :no-members:", ""]
    found = sys.modules.get(room) or importlib.import_module(room)
    if not hasattr(found, "__path__"):
        return "\n".join([*heading(room, "="), f".. automodule:: {room}", ""])
    parts += names_table(found)
    for package in sorted(packages_of(room), key=lambda name: name == room):  # modules beside the folders come last
        modules = modules_of(package, room.partition(".")[2])
        if package != room:
            folder = package.removeprefix(f"{room}.").replace(".", " / ")
            parts += [*heading(folder, "-"), f".. automodule:: {package}", "   :no-members:", ""]
            parts += names_table(sys.modules[package])
        elif modules:
            parts += heading("Modules of the room itself", "-")
        for module in modules:
            parts += [*heading(module, "~"), f".. automodule:: {module}", ""]
    return "\n".join(parts)


def top_page() -> str:
    """The API of the package itself: its `__all__`."""
    parts = ["unshaken", "========", "", ".. automodule:: unshaken", "   :no-members:", ""]
    for name in sorted(getattr(unshaken, "__all__", [])):
        value = getattr(unshaken, name)
        if isinstance(value, ModuleType):  # a room that is called as its verb
            parts += [f".. autofunction:: unshaken.api.{name}", "   :no-index:", ""]
        elif isinstance(value, type):
            parts += [f".. autoclass:: unshaken.{name}", "   :no-index:", ""]
        elif callable(value):
            parts += [f".. autofunction:: unshaken.{name}", ""]
    return "\n".join(parts)


def write(app: Any) -> None:
    """Write the pages that changed below `_generated`, and remove those of rooms that are gone."""
    folder = Path(app.srcdir) / "_generated"
    found = (m.name for m in pkgutil.iter_modules(unshaken.__path__) if not m.name.startswith("_"))
    # the command line is no API (`unshaken --help` documents it), and the plug-in of pytest needs pytest
    rooms = sorted(set(found) - {"cli", "pytest_plugin"})
    pages = {"methods.md": methods_page(), "unshaken.rst": top_page()}
    pages |= {f"unshaken.{room}.rst": room_page(f"unshaken.{room}") for room in rooms}
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        page = folder / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


ROW_LINK = re.compile(r"\]\((?:\.\./)+src/unshaken_papers/(\w+)/README\.md(#[\w-]+)?\)")
"""A link of a page to that of a row, as it is right in the repository."""


def write_rows(app: Any) -> None:
    """Copy the page, picture and result of each row to `papers/<slug>.*`, where the documentation has them."""
    folder = Path(app.srcdir) / "papers"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for row in sorted((Path(app.srcdir).parent / "src" / "unshaken_papers").glob("*/README.md")):
        slug = row.parent.name.replace("_", "-")
        text = row.read_text(encoding="utf-8").replace("(picture.svg)", f"({slug}.svg)")
        (folder / f"{slug}.md").write_text(text.replace("(result.json)", f"({slug}.json)"), encoding="utf-8")
        for name, end in (("picture.svg", "svg"), ("result.json", "json")):
            if (row.parent / name).exists():
                shutil.copy(row.parent / name, folder / f"{slug}.{end}")


def link_rows(app: Any, name: str, source: list[str]) -> None:
    """Links to the pages of rows, as they are in the documentation."""
    up = "../" * name.count("/")
    source[0] = ROW_LINK.sub(lambda m: f"]({up}papers/{m[1].replace('_', '-')}.md{m[2] or ''})", source[0])


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", write)
    app.connect("builder-inited", write_rows)
    app.connect("source-read", link_rows)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
