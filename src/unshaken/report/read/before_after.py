"""The comparison before and after a repair, as `unshaken harden --from` leaves it in its run directory."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field, model_validator

from unshaken.core.documents import validate
from unshaken.core.errors import RunError
from unshaken.core.part import Condition
from unshaken.measure import Comparison, Figure
from unshaken.report.comparisons import ConditionComparison, RunComparison
from unshaken.store.address import bare
from unshaken.store.run_dir import RunDir

PLACE = ("before-after", "compare.json")


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class _Figure(_Record):
    value: float = Field(ge=-1, le=1)
    low: float | None
    high: float | None
    n: int = Field(ge=1)
    interval: str

    @model_validator(mode="after")
    def _inside(self) -> _Figure:
        self.figure()
        return self

    def figure(self) -> Figure:
        low, high = (-math.inf if self.low is None else self.low), (math.inf if self.high is None else self.high)
        return Figure(self.value, low, high, self.n, self.interval)


class _Condition(_Record):
    condition: str
    method: str = ""
    severity: int | None = None
    eps: float | None = None
    norm: str | None = None
    baseline: _Figure
    candidate: _Figure
    difference: _Figure
    lost: int = Field(ge=0)
    gained: int = Field(ge=0)
    p_value: float = Field(ge=0, le=1)
    p_holm: float = Field(ge=0, le=1)
    family: int = Field(ge=1)

    def comparison(self) -> ConditionComparison:
        n, before, after = self.difference.n, self.baseline.figure(), self.candidate.figure()
        both = round(before.value * n) - self.lost
        paired = Comparison(
            n=n,
            both_right=both,
            lost=self.lost,
            gained=self.gained,
            both_wrong=n - both - self.lost - self.gained,
            difference=self.difference.figure(),
            p_value=self.p_value,
            p_holm=self.p_holm,
            family=self.family,
        )
        condition = Condition(self.condition, self.method or self.condition, self.severity, self.eps, self.norm)
        return ConditionComparison(condition, before, after, paired)


class _Comparison(_Record):
    baseline: str
    candidate: str
    baseline_name: str
    candidate_name: str
    n: int = Field(ge=1)
    conditions: tuple[_Condition, ...] = Field(min_length=1)
    only_baseline: tuple[str, ...] = ()
    only_candidate: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class _File(_Record):
    comparisons: tuple[_Comparison, ...] = Field(min_length=1)


def read_before_after(run: RunDir) -> RunComparison | None:
    """The audits before and after a repair, paired; None for a training that is no repair.

    Args:
        run: of the training.

    Raises:
        RunError: the comparison is damaged.
    """
    if not run.exists(*PLACE):
        return None
    where = f"{run}: {'/'.join(PLACE)}"
    advice = "make it again with unshaken compare BEFORE AFTER --out DIR/before-after, or delete it"
    found = validate(_File, run.read_json(*PLACE), where, RunError, advice).comparisons[0]
    return RunComparison(
        baseline=bare(found.baseline),
        candidate=bare(found.candidate),
        baseline_name=found.baseline_name,
        candidate_name=found.candidate_name,
        n=found.n,
        conditions=tuple(c.comparison() for c in found.conditions),
        only_baseline=found.only_baseline,
        only_candidate=found.only_candidate,
        notes=found.notes,
    )
