"""Tables of rows: their columns, and the rows of a part as such a table."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from unshaken.core.part import Part

OUTCOMES = pa.schema(
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("method", pa.string()),
        ("severity", pa.int32()),
        ("eps", pa.float64()),
        ("norm", pa.string()),
        ("label", pa.int64()),
        ("prediction", pa.int64()),
        ("confidence", pa.float32()),
        ("correct", pa.bool_()),
        ("loss", pa.float32()),
        ("logits", pa.list_(pa.float32())),
        ("distance", pa.float64()),
        ("survives_8bit", pa.bool_()),
        ("broken_by", pa.string()),
        ("step", pa.int64()),
        ("forwards", pa.int64()),
        ("backwards", pa.int64()),
        ("seconds", pa.float64()),
        ("error", pa.string()),
    ]
)
FLAGS = pa.schema([(name, pa.string()) for name in ("name", "detail", "id", "meaning", "advice")])
COST = pa.schema(
    [
        ("step", pa.string()),
        ("shard", pa.int32()),
        ("forwards", pa.int64()),
        ("backwards", pa.int64()),
        ("model_seconds", pa.float64()),
        ("method_seconds", pa.float64()),
        ("wall_seconds", pa.float64()),
        ("largest_batch", pa.int64()),
        ("back_offs", pa.int64()),
    ]
)
TURNS = pa.schema(
    [
        ("condition", pa.string()),
        ("turn", pa.int32()),
        ("attack", pa.string()),
        ("why", pa.string()),
        ("gradients", pa.bool_()),
        ("standing", pa.int64()),
        ("broken", pa.int64()),
        ("forwards", pa.int64()),
        ("backwards", pa.int64()),
        ("seconds", pa.float64()),
    ]
)
SCHEMAS: dict[str, pa.Schema] = {"outcomes": OUTCOMES, "turns": TURNS, "flags": FLAGS, "cost": COST}
"""Table name to columns; rooms that keep other rows enter theirs by `declare_table`."""


def declare_table(name: str, columns: Sequence[tuple[str, pa.DataType]]) -> pa.Schema:
    """Enter a table of rows.

    Args:
        name: unique over all rooms, letters and underscores.
        columns: name and type of each.

    Returns:
        Its schema.

    Raises:
        ValueError: another table has this name.
    """
    schema = pa.schema(columns)
    if not SCHEMAS.setdefault(name, schema).equals(schema):
        raise ValueError(f"the table {name!r} is declared already, with other columns: choose another name")
    return schema


def table_of(part: Part) -> pa.Table:
    """The rows as a table of the schema, with the condition's own columns filled in."""
    schema, condition = SCHEMAS[part.table], part.condition
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
            arrays.append(pa.array(part.columns[column.name], type=column.type))
        elif shared.get(column.name) is not None:
            arrays.append(pa.array([shared[column.name]] * n, type=column.type))
        else:
            arrays.append(pa.nulls(n, type=column.type))
    return pa.Table.from_arrays(arrays, schema=schema)
