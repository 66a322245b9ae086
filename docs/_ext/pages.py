"""Writes the pages that follow from the code: one of the methods in the registry, and one of the API for each room."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

import unshaken
from unshaken.cli.schema import bounds_of, default_of, type_of
from unshaken.core.registry import Method, list_methods


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
        f"# Methods\n\nAll {len(methods)} methods, as the registry knows them; `unshaken list` prints the same. "
        "On the command line a method is written `NAME` or `NAME:parameter=value,...`.\n"
    )
    rooms = groupby(methods, key=lambda method: method.room)
    return "\n".join([head, *(f"## {room}\n\n" + "\n".join(map(entry, group)) for room, group in rooms)])


def modules_of(room: str) -> list[str]:
    """The room and its public modules, by full name."""
    found = importlib.import_module(room)
    inner = pkgutil.iter_modules(getattr(found, "__path__", []), f"{room}.")
    return [
        room,
        *(name for m in inner for name in modules_of(m.name) if not m.name.rpartition(".")[2].startswith("_")),
    ]


def room_page(room: str) -> str:
    """The API of one room: every public class and function of its modules."""
    parts = [room, "=" * len(room), ""]
    for module in modules_of(room):
        if module != room:
            parts += [module, "-" * len(module), ""]
        parts.append(f".. automodule:: {module}")
        if hasattr(sys.modules[module], "__path__"):
            names = ", ".join(f"``{name}``" for name in sorted(getattr(sys.modules[module], "__all__", [])))
            parts += ["   :no-members:", "", *([f"Can be imported from here: {names}."] if names else [])]
        parts.append("")
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
    rooms = sorted(set(found) - {"cli"})  # the command line is no API: `unshaken --help` documents it
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


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
