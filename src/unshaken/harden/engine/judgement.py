"""Audits of a repair: weaknesses before it, and whether it helped on the audited images."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from unshaken.core.documents import validate
from unshaken.core.errors import RunError
from unshaken.core.flag import FlagKind
from unshaken.core.part import CLEAN
from unshaken.measure import Figure, accuracy_by_class, share
from unshaken.store.run_dir import RunDir

NAME = "summary.json"


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class Share(_Record):
    """A figure of the summary that is a share."""

    value: float = Field(ge=0, le=1)


class ConditionRecord(_Record):
    """One condition, and what it left of the accuracy."""

    condition: str
    method: str
    accuracy: Share | None = None
    norm: str | None = None
    eps: float | None = Field(default=None, ge=0)
    group: str | None = None


class Cost(_Record):
    """Cost of the audit."""

    seconds: float = Field(ge=0)


class AuditSummary(_Record):
    """The part of `summary.json` that a repair needs."""

    clean: Share | None = None
    conditions: list[ConditionRecord]
    cost: Cost = Cost(seconds=0)


def read_summary(run: RunDir) -> AuditSummary:
    """Read and check the `summary.json` of an audit.

    Raises:
        RunError: it is absent or damaged.
    """
    advice = f"make it again with unshaken report {run}"
    return validate(AuditSummary, run.read_json(NAME), f"{run}: {NAME}", RunError, advice)


LEAST_GAIN = 0.01
"""By how much repaired weights must be better than the starting weights."""
EASIER = 0.05
"""By how much held-out images must be easier than audited ones for the model to know them."""
KNOWN = "known-held-out"
"""Flag of a training whose held-out images the model had seen before."""
NOT_KEPT = FlagKind(
    "not-kept",
    "the audited weights were not kept",
    "Read the figures as those of a repair that was refused: the training run holds the starting weights.",
)

Aims = Sequence[Sequence[str]]
"""The conditions of each weakness; none for the gap between classes."""


@dataclass(frozen=True, slots=True)
class AuditFigures:
    """Figures of a model on audited images.

    Args:
        accuracy: on unchanged ones.
        aimed: the mean accuracy over weaknesses, in [0, 1]; None where there are none.
    """

    accuracy: Figure
    aimed: float | None


@dataclass(frozen=True, slots=True)
class Reference:
    """Figures of starting weights on images that they have not seen, in the place of those on held-out images.

    Args:
        accuracy: on unchanged images, in [0, 1].
        aimed: the mean accuracy over the weaknesses to be repaired, in [0, 1]; None where there are none.
        why: why the held-out images do not show it.
    """

    accuracy: float
    aimed: float | None
    why: str


def audit_figures(run: RunDir, aims: Aims) -> AuditFigures:
    """Accuracy of an audited model, on unchanged images and under the weaknesses that a repair is for.

    Args:
        run: the audit.
        aims: see `Aims`.

    Raises:
        RunError: it has no unchanged images with labels, or lacks a condition.
    """
    rows = run.rows("outcomes", ["condition", "label", "correct"]).drop_null()
    names = rows["condition"].to_numpy()
    right = {str(c): rows["correct"].to_numpy()[names == c].astype(np.bool_) for c in np.unique(names)}
    lacking = [c for c in [CLEAN.id, *(c for conditions in aims for c in conditions)] if c not in right]
    if lacking:
        raise RunError(f"{run}: has no outcomes of {', '.join(lacking)}: the audit is not whole; start a new run")
    clean, mean = right[CLEAN.id], {name: float(values.mean()) for name, values in right.items()}
    labels = rows["label"].to_numpy()[names == CLEAN.id]
    worst = min(f.value for f in accuracy_by_class(clean, labels).values())
    aimed = [statistics.fmean(mean[c] for c in conditions) if conditions else worst for conditions in aims]
    return AuditFigures(share(int(clean.sum()), len(clean)), statistics.fmean(aimed) if aimed else None)


def reference(held: Figure, before: AuditFigures) -> Reference | None:
    """The audit's figures, where the model knows the held-out images; None where these are as hard for it.

    A model that has learned images is more often right on them than on others. Its figures there are too good for a
    trained copy to reach, and the copy's are too good as well, for it forgets slowly.

    Args:
        held: accuracy of the starting weights on held-out images.
        before: the audit of the same weights.
    """
    audit = before.accuracy
    if held.low <= audit.high or held.value - audit.value < EASIER:
        return None
    why = (
        f"the model is right on {held.value:.1%} of {held.n:,} images held out of --data but on {audit.value:.1%} of "
        f"the {audit.n:,} audited ones: it has probably learned the former (or the latter are harder). So its accuracy "
        "is taken from the audit; held-out images only choose the epoch. Images that it has not learned, as --data, "
        "choose better"
    )
    return Reference(audit.value, before.aimed, why)


def refusal(before: AuditFigures, after: AuditFigures, most: float | None) -> str:
    """Why repaired weights are worse than the starting weights; empty where they are not.

    Args:
        before: the audit of the starting weights.
        after: the audit of the repaired weights, on the same samples.
        most: largest loss of accuracy on unchanged images; None for any.
    """
    old, new = before.accuracy.value, after.accuracy.value
    if most is not None and new < old - most - 1e-9:
        return (
            f"on the {after.accuracy.n:,} audited images accuracy on unchanged images went from {old:.1%} to {new:.1%} "
            f"(max_clean_loss allows {100 * most:g} points)"
        )
    if before.aimed is not None and after.aimed is not None and after.aimed < before.aimed + LEAST_GAIN:
        return (
            f"on the {after.accuracy.n:,} audited images accuracy under the changes to be repaired was "
            f"{before.aimed:.1%} before and is {after.aimed:.1%}"
        )
    return ""
