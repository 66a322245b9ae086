"""Rows of rankings: one a query, ranker and condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from unshaken.core.part import Condition, Part
from unshaken.store.tables import declare_table

RANKINGS = declare_table(
    "rankings",
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("ranker", pa.string()),
        ("task", pa.string()),
        ("change", pa.string()),
        ("measure", pa.string()),
        ("effectiveness", pa.float64()),
        ("judged", pa.float64()),
        ("tau", pa.float64()),
        ("overlap", pa.float64()),
        ("first_changed", pa.bool_()),
        ("document", pa.string()),
        ("rank_before", pa.int64()),
        ("rank_after", pa.int64()),
        ("text", pa.string()),
        ("calls", pa.int64()),
        ("seconds", pa.float64()),
    ],
)
"""See docs/runs.md for the columns."""


def part_of(condition: str, ranker: str, task: str, change: str, ids: Sequence[str], **columns: Any) -> Part:
    """The rows of a ranker under one condition; columns that are not given are empty.

    Args:
        condition: its id.
        ranker: name of the ranker.
        task: one of the five.
        change: what was changed, and how much of it.
        ids: of the queries.
        columns: name to values, one a query, or one value for all.
    """
    count = len(ids)
    single = {"condition": condition, "ranker": ranker, "task": task, "change": change, **columns}
    filled: Mapping[str, Any] = {
        name: list(value) if isinstance(value := single.get(name), list | tuple) else [value] * count
        for name in RANKINGS.names
    }
    return Part("rankings", Condition(condition, ranker), {**filled, "id": list(ids)})
