"""Rows of the tables that only this task has, and `Outcomes` of one condition from the rows of an audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from unshaken.core.part import CLEAN, Condition, Part
from unshaken.core.tables import declare_table
from unshaken.measure.statistics.columns import Flags, Indices, Numbers
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
"""Rows of choices; docs/runs.md says what the columns of these tables hold."""


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


COLUMNS = ["id", "condition", "label", "correct", "logits", "error"]


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Labelled samples under a condition, in order of their ids.

    Args:
        ids: of N samples.
        logits: float64 `[N, K]`; rows that are not finite are not here.
        labels: int64 `[N]`.
        correct: bool `[N]`.
    """

    ids: tuple[str, ...]
    logits: Numbers
    labels: Indices
    correct: Flags

    def logits_tensor(self) -> Tensor:
        """The logits as a tensor, float64 `[N, K]`."""
        return torch.from_numpy(self.logits)

    def labels_tensor(self) -> Tensor:
        """The labels as a tensor, int64 `[N]`."""
        return torch.from_numpy(self.labels)

    def only(self, chosen: Flags) -> Outcomes:
        """The outcomes of the samples that a mask `[N]` chooses."""
        ids = tuple(i for i, keep in zip(self.ids, chosen, strict=True) if keep)
        return Outcomes(ids, self.logits[chosen], self.labels[chosen], self.correct[chosen])


def read_outcomes(run: RunDir, condition: str = CLEAN.id) -> Outcomes | None:
    """The labelled samples of a condition that gave finite logits; None where there is none.

    Args:
        run: of an audit.
        condition: its id.
    """
    table = run.rows("outcomes", COLUMNS, condition=condition)
    table = table.filter(pc.and_(pc.is_null(table["error"]), pc.is_valid(table["label"]))).sort_by("id")
    table = table.filter(pc.greater_equal(table["label"], 0))
    if not len(table):
        return None
    logits = np.stack(table["logits"].to_numpy(zero_copy_only=False)).astype(np.float64)
    good: Flags = np.asarray(np.isfinite(logits).all(1), np.bool_)
    found = Outcomes(
        tuple(table["id"].to_pylist()),
        logits,
        table["label"].to_numpy().astype(np.int64),
        table["correct"].to_numpy(zero_copy_only=False).astype(np.bool_),
    )
    return found.only(good) if good.any() else None


def conditions_of(run: RunDir) -> list[str]:
    """Ids of the conditions that an audit has rows of, sorted."""
    return sorted({name.rpartition("-")[0] for name in run.names("rows", "outcomes", suffix=".parquet")})
