"""Rows of the tables that only this task has; accuracies, scores and cues stand in those of the runs beneath."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from unshaken.core.part import Condition, Part
from unshaken.core.tables import declare_table
from unshaken.store.run_dir import RunDir
from unshaken.store.tables import table_of

VISUAL_FACTORS = declare_table("visual_factors", "id string, condition string, factor string")
PROMPTS = declare_table("prompts", "id string, condition string, label int64, alone bool[], correct bool")
RETRIEVALS = declare_table(
    "retrievals",
    "id string, condition string, direction string, image string, rank int64, depth int64",
)
CHOICES = declare_table(
    "choices",
    "id string, condition string, options int64[], label int64, chosen int64, error string",
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
