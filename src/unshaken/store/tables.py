"""The rows of a part as a pyarrow table, by the columns that `declare_table` was given."""

from __future__ import annotations

from functools import cache
from typing import Any

import pyarrow as pa

from unshaken.core.part import Part
from unshaken.core.tables import TABLES


def schema_of(name: str) -> pa.Schema | None:
    """The schema of a declared table; None of another one."""
    columns = TABLES.get(name)
    return None if columns is None else _schema(tuple(columns.items()))


def empty_table(name: str) -> pa.Table:
    """A declared table without rows.

    Raises:
        KeyError: no table is called this.
    """
    return _schema(tuple(TABLES[name].items())).empty_table()


@cache
def _schema(columns: tuple[tuple[str, str], ...]) -> pa.Schema:
    return pa.schema([(name, _type(text)) for name, text in columns])


def _type(text: str) -> pa.DataType:
    return pa.list_(_type(text.removesuffix("[]"))) if text.endswith("[]") else pa.type_for_alias(text)


def table_of(part: Part) -> pa.Table:
    """The rows as a table of the schema, with the condition's own columns filled in.

    Raises:
        KeyError: the table is not declared.
    """
    schema, condition = _schema(tuple(TABLES[part.table].items())), part.condition
    n = len(next(iter(part.columns.values())))
    shared = {
        "condition": condition.id,
        "method": condition.method,
        "severity": condition.severity,
        "eps": condition.eps,
        "norm": condition.norm,
    }
    arrays = []
    for column in schema:
        if column.name in part.columns:
            arrays.append(_array(part.columns[column.name], column.type))
        elif shared.get(column.name) is not None:
            arrays.append(pa.array([shared[column.name]] * n, type=column.type))
        else:
            arrays.append(pa.nulls(n, type=column.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    if getattr(values, "ndim", 1) == 2:  # a list a row, all of one length
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1]).cast(kind)
    return pa.array(values, type=kind)
