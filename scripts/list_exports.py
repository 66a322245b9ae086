"""Writes tests/exports.txt: the public names of the package and of each room, one a line.

    python scripts/list_exports.py

A test compares the file with the package, so that adding a name is a line of a diff that somebody reads.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import unshaken

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


if __name__ == "__main__":
    FILE.write_text(exports(), encoding="utf-8")
    print(FILE)
