"""`estimate_time`: how long a run will take, from what runs like it took."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

NOT_COMPARED = frozenset({"radii"})
"""Parameters that change nothing of a run's cost."""
MOST = 1e15


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took.

    Args:
        work: what it did, in a text that is the same for runs that do the same; empty where it is not known.
        units: images, times conditions for an attack or a certification, times epochs for a training.
        seconds: of model and method, without the start of the program.
        passes: forward and backward passes of an image.
    """

    work: str = ""
    units: float = 0.0
    seconds: float = 0.0
    passes: float = 0.0


NO_COST = Cost()


@dataclass(frozen=True, slots=True)
class KnownCost:
    """The cost of a finished run of the list.

    Args:
        model: SPEC.
        cost: of the run.
    """

    model: str
    cost: Cost


@dataclass(frozen=True, slots=True)
class TimeEstimate:
    """How long a run will take, in seconds.

    Args:
        value: by the median of the runs.
        low: by the fastest.
        high: by the slowest.
        seconds: an image.
        passes: an image.
        runs: that it comes from.
        own: these runs used the same model; else their passes are taken, at the speed of other runs of the model.
    """

    value: float
    low: float
    high: float
    seconds: float
    passes: float
    runs: int
    own: bool


def describe_work(what: str, parameters: Mapping[str, Any] | None = None) -> str:
    """A text that is the same for runs that do the same.

    Args:
        what: the plan of an audit, a method, or a recipe with its parameters.
        parameters: all of a method, defaults filled in; None for none.
    """
    kept = {k: v for k, v in (parameters or {}).items() if k not in NOT_COMPARED}
    return f"{what} {json.dumps(kept, sort_keys=True)}"[:1000] if kept else what[:1000]


def read_cost(record: Any, work: str, units: float) -> Cost:
    """The cost that a record of a stranger holds under `cost`; one of no work where it holds none.

    Args:
        record: such as `summary.json`.
        work: of the run; see `describe_work`.
        units: of the run.
    """
    found = record.get("cost") if isinstance(record, dict) else None
    values = [found.get(name) for name in ("seconds", "forwards", "backwards")] if isinstance(found, dict) else []
    kept = [float(v) for v in values if isinstance(v, int | float) and math.isfinite(v) and 0 <= v < MOST]
    if len(kept) < 3 or not kept[0] or not 0 < units < MOST:
        return NO_COST
    return Cost(work, units, kept[0], kept[1] + kept[2])


def estimate_time(known: Sequence[KnownCost], work: str, model: str, units: float) -> TimeEstimate | None:
    """How long a run will take; None where no run is like it.

    Runs are like it that did the same with the same model. Where there is none, the passes an image of the same work
    with other models are taken, at the speed of whatever this model did.

    Args:
        known: costs of earlier runs.
        work: of the run; see `describe_work`.
        model: SPEC of its model.
        units: of the run.
    """
    alike = [one for one in known if one.cost.work == work and one.cost.units > 0]
    passes = [one.cost.passes / one.cost.units for one in alike]
    own = [one.cost for one in alike if one.model == model]
    if own:
        each = [cost.seconds / cost.units for cost in own]
        passes = [cost.passes / cost.units for cost in own]
    else:
        speeds = [one.cost.seconds / one.cost.passes for one in known if one.model == model and one.cost.passes > 0]
        if not alike or not speeds:
            return None
        each = [count * median(speeds) for count in passes]
    value, low, high = (end(each) * units for end in (median, min, max))
    return TimeEstimate(value, low, high, median(each), median(passes), len(each), bool(own))
