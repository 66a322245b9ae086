"""What mending reads of an audit's `summary.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from unshaken.core.documents import validate
from unshaken.core.errors import RunError
from unshaken.store.run_dir import RunDir

NAME = "summary.json"


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class Share(_Record):
    """A figure's value."""

    value: float = Field(ge=0, le=1)


class ConditionRecord(_Record):
    """One condition, and what it left of the accuracy."""

    condition: str
    method: str
    accuracy: Share | None = None
    norm: str | None = None
    eps: float | None = Field(None, ge=0)
    group: str | None = None


class Cost(_Record):
    """What the audit took."""

    seconds: float = Field(ge=0)


class AuditSummary(_Record):
    """The part of `summary.json` that mending needs."""

    clean: Share | None = None
    conditions: list[ConditionRecord]
    cost: Cost = Cost(seconds=0)


def read_summary(run: RunDir) -> AuditSummary:
    """What an audit's summary says.

    Raises:
        RunError: it is absent or damaged.
    """
    advice = f"make it again with unshaken report {run}"
    return validate(AuditSummary, run.read_json(NAME), f"{run}: {NAME}", RunError, advice)
