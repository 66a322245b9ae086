"""Read the directory of a training run: configuration, curves, result, and the audits before and after a repair."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, model_validator

from unshaken.core.documents import validate
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.part import Condition
from unshaken.core.registry import parse_method
from unshaken.harden.engine.checks import MONITORS
from unshaken.harden.engine.harden_file import NAME, HardenConfig, read_harden
from unshaken.harden.engine.recipe import Recipe
from unshaken.measure import Comparison, Figure, share
from unshaken.report.compare import ConditionComparison, RunComparison
from unshaken.store.address import bare
from unshaken.store.run_dir import RunDir

PLACE = ("before-after", "compare.json")
Record = dict[str, float]
FIGURES = ("held_accuracy", "held_robust")
"""The columns of the curves that choose a checkpoint."""


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """Content of a training run's directory, whether it has ended or not.

    Args:
        place: the directory, as it was given.
        config: its `harden.json`.
        curves: one record an epoch, without what was not measured; `epoch` counts from 0.
        chosen: the epoch, from 0, whose weights are kept; -1 for the starting weights, None before the first check.
        chosen_by: `robust`, `clean`, `last` or `repair`.
        threat: `norm` and `eps` of what held-out images were attacked with; None without one.
        figures: of the chosen epoch, by column, with intervals.
        flags: doubts, each with `name` and `detail`.
        cost: `forwards`, `backwards` and `seconds`.
    """

    place: str
    config: HardenConfig
    curves: tuple[Record, ...]
    chosen: int | None
    chosen_by: str
    threat: dict[str, Any] | None
    figures: dict[str, dict[str, Any]]
    flags: tuple[dict[str, Any], ...]
    cost: dict[str, float]

    @property
    def ended(self) -> bool:
        """Whether it came to its end, or to its early stop."""
        return self.config.result is not None

    @property
    def stopped_early(self) -> bool:
        """Whether it ended before all epochs, for want of a better checkpoint."""
        return bool((self.config.result or {}).get("stopped_early"))

    @property
    def start_kept(self) -> str:
        """Why the starting weights are kept; empty where an epoch is."""
        return str((self.config.result or {}).get("start_kept") or "")

    @property
    def planned(self) -> int:
        """Epochs that were asked for."""
        return int(self.config.training.get("epochs", len(self.curves)))

    def images_of(self, column: str) -> int | None:
        """How many images a share of the curves is over; None where that is not known."""
        held, most = self.config.images.get("held_out"), self.config.training.get("check_images")
        if column == "held_accuracy" or held is None or most is None:
            return held
        return min(held, most) if column == "held_robust" else None


def read_training(run: RunDir) -> TrainingRun:
    """Read the directory of a training run.

    Args:
        run: holds `harden.json`, and `curves.parquet` once an epoch has ended.

    Raises:
        RunError: it is no training run, or a file is damaged.
    """
    if not run.exists(NAME):
        raise RunError(f"{run}: no {NAME} there; give the directory of a training run")
    config = read_harden(run)
    curves, result = _curves(run), config.result
    place = str(run).rstrip("/")
    if result is None:
        return _under_way(place, config, curves)
    return TrainingRun(
        place=place,
        config=config,
        curves=curves,
        chosen=result["chosen_epoch"] - 1,
        chosen_by=result["chosen_by"],
        threat=result["threat"],
        figures=result["figures"],
        flags=tuple(result["flags"]),
        cost=result["cost"],
    )


def _under_way(place: str, config: HardenConfig, curves: tuple[Record, ...]) -> TrainingRun:
    """The state of a run that has no result yet: the best so far, by the rule of the loop."""
    recipes = [recipe for text in config.recipes if (recipe := recipe_of(text)) is not None]
    threats = [{"norm": r.threat.norm, "eps": r.threat.eps} for r in recipes if r.threat is not None]
    by_rule, threat = config.training.get("select", "auto"), threats[0] if threats else None
    by = ("robust" if threat else "clean") if by_rule == "auto" else by_rule
    checked = [c for c in curves if "held_accuracy" in c]
    column = FIGURES[by == "robust"]
    best = checked[-1] if by == "last" and checked else max(checked, key=lambda c: c.get(column, 0.0), default=None)
    chosen = None if best is None else int(best["epoch"])
    bare = TrainingRun(place, config, curves, chosen, by, threat, {}, (), {})
    figures = {}
    for name in FIGURES:
        n = bare.images_of(name)
        if best is not None and name in best and n:
            figures[name] = share(round(best[name] * n), n).to_json()
    last = curves[-1] if curves else {}
    cost = {k: last.get(k, 0.0) for k in ("forwards", "backwards", "seconds")}
    n = bare.images_of("held_robust")
    counted = curves if n is None else tuple({"held_attacked": n, **c} for c in curves)
    return TrainingRun(place, config, curves, chosen, by, threat, figures, _flags(counted), cost)


def _flags(curves: tuple[Record, ...]) -> tuple[dict[str, Any], ...]:
    found: dict[str, str] = {}
    for i in range(len(curves)):
        for name, monitor in MONITORS.items():
            detail = monitor(curves[: i + 1])
            if detail is not None:
                found.setdefault(name, detail)
    return tuple({"name": k, "detail": v, "ids": []} for k, v in found.items())


def recipe_of(text: str) -> Recipe | None:
    """The recipe of a line of `harden.json`; None where it is not known here, as when a plug-in is absent."""
    try:
        found = parse_method(text, "harden")
    except ParameterError:
        return None
    return found if isinstance(found, Recipe) else None


def _curves(run: RunDir) -> tuple[Record, ...]:
    if not run.exists("curves.parquet"):
        return ()
    try:
        rows = pq.read_table(io.BytesIO(run.read("curves.parquet")), page_checksum_verification=True).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"{run}: curves.parquet is damaged ({reason}); delete it for pages without curves") from None
    if any(not isinstance(v, int | float) for r in rows for v in r.values() if v is not None):
        raise RunError(f"{run}: curves.parquet is damaged (a value is no number); delete it for pages without curves")
    return tuple({k: v for k, v in r.items() if v is not None and math.isfinite(v)} for r in rows)


# The comparison before and after a repair.


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
    p_adjusted: float = Field(ge=0, le=1)
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
            p_adjusted=self.p_adjusted,
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
