"""Rows of the tables that only this task has; accuracies, scores and cues stand in those of the runs beneath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from unshaken.core.part import Condition, Part
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import declare_table, table_of

VISUAL_FACTORS = declare_table("visual_factors", [(name, pa.string()) for name in ("id", "condition", "factor")])
PROMPTS = declare_table(
    "prompts",
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("label", pa.int64()),
        ("alone", pa.list_(pa.bool_())),
        ("correct", pa.bool_()),
    ],
)
RETRIEVALS = declare_table(
    "retrievals",
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("direction", pa.string()),
        ("image", pa.string()),
        ("rank", pa.int64()),
        ("depth", pa.int64()),
    ],
)
CHOICES = declare_table(
    "choices",
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("options", pa.list_(pa.int64())),
        ("label", pa.int64()),
        ("chosen", pa.int64()),
        ("error", pa.string()),
    ],
)
"""See docs/runs.md for the columns."""


def write_rows(run: RunDir, table: str, condition: str, columns: Mapping[str, Any]) -> None:
    """Write the rows of one condition.

    Args:
        run: of the comparison.
        table: one of those above.
        condition: the key of a model, or another id.
        columns: by name.
    """
    run.write_rows(table_of(Part(table, Condition(condition, condition), dict(columns))), table, condition, 0)


def read_rows(run: RunDir, table: str, condition: str | None = None) -> pa.Table:
    """The rows of a table above; an empty table where there is none.

    Args:
        run: of the comparison.
        table: its name.
        condition: the only one; None for all.
    """
    return run.rows(table, condition=condition)
