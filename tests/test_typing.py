"""Type checkers without plugins see the arguments of methods; `make types` tries them on `typed_program.py`."""

from __future__ import annotations

import ast
from pathlib import Path

import unshaken

SOURCES = Path(unshaken.__file__).parent


def test_every_default_of_a_field_is_named():
    """By `default=`: type checkers do not see one that is given by its place, and ask for the argument."""
    wrong = [
        f"{path.relative_to(SOURCES)}:{call.lineno}"
        for path in sorted(SOURCES.rglob("*.py"))
        if "Field(" in (text := path.read_text(encoding="utf-8"))
        for call in ast.walk(ast.parse(text))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Field" and call.args
    ]
    assert not wrong
