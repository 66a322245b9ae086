"""`Outcomes`: logits, labels and hits of one condition, from the rows of an audit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor

from unshaken.core.part import CLEAN
from unshaken.measure.statistics.columns import Flags, Indices, Numbers
from unshaken.store.run_dir import RunDir

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
        """The logits, for functions of tensors."""
        return torch.from_numpy(self.logits)

    def labels_tensor(self) -> Tensor:
        """The labels, likewise."""
        return torch.from_numpy(self.labels)

    def only(self, chosen: Flags) -> Outcomes:
        """Some of the samples."""
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
