"""Tables of rows, declared in plain words: their names and their columns."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from functools import cache

from unshaken.core.sources import PACKAGE, module_of

TABLES: dict[str, dict[str, str]] = {}
"""Each declared table's columns: name to type."""


TYPES = {
    *("string", "binary", "bool", "float", "double"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}


def declare_table(name: str, columns: str | Mapping[str, str]) -> dict[str, str]:
    """Declare a table of rows.

    Args:
        name: unique over all rooms, letters and underscores.
        columns: `"id string, loss float, boxes float[]"`, or name to type. Types are those of pyarrow (`string`,
            `bool`, `int64`, `float`, `double`, ...; see `TYPES`), with `[]` behind for a list.

    Returns:
        Column name to type, in order.

    Raises:
        ValueError: another table has this name, or a type is not known.
    """
    declared = dict(c.split() for c in columns.split(", ")) if isinstance(columns, str) else dict(columns)
    for column, kind in declared.items():
        if kind.removesuffix("[]") not in TYPES:
            raise ValueError(f"table {name!r}: {column} has the type {kind!r}, which is not one of {sorted(TYPES)}")
    known = TABLES.setdefault(name, declared)
    if list(known.items()) != list(declared.items()):
        raise ValueError(f"the table {name!r} is declared already, with other columns: choose another name")
    return known


def is_shared(name: str) -> bool:
    """Whether a file of the package declares this table; it is imported."""
    module = table_modules().get(name)
    if module is not None:
        importlib.import_module(module)
    return module is not None


@cache
def table_modules() -> dict[str, str]:
    """Table to the module that declares it, read from source text."""
    return {
        name: module_of(path)
        for path in sorted(PACKAGE.rglob("*.py"))
        for name in re.findall(r'^\w*(?: = )?declare_table\(\s*"(\w+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
    }


OUTCOMES = declare_table(
    "outcomes",
    "id string, condition string, method string, severity int32, eps double, norm string, label int64, "
    "prediction int64, confidence float, correct bool, loss float, logits float[], distance double, "
    "survives_8bit bool, broken_by string, step int64, forwards int64, backwards int64, seconds double, error string",
)
TURNS = declare_table(
    "turns",
    "condition string, turn int32, attack string, why string, gradients bool, standing int64, broken int64, "
    "forwards int64, backwards int64, seconds double",
)
"""What each phase of an attack was tried on, broke and cost."""
FLAGS = declare_table("flags", "name string, detail string, id string, meaning string, advice string")
COST = declare_table(
    "cost",
    "step string, shard int32, forwards int64, backwards int64, model_seconds double, method_seconds double, "
    "wall_seconds double, largest_batch int64, back_offs int64",
)
SENT = declare_table("sent", "step string, shard int32, images int64")
"""Images sent to a model behind an address."""
