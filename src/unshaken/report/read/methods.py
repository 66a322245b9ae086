"""Methods of a run by its own record; the registry is asked where an older run has no record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unshaken.core.flag import Flag, FlagKind
from unshaken.run.record import installed, record_methods, record_steps
from unshaken.store.config import MethodRecord, RunConfig, StepRecord

UNKNOWN_METHOD = FlagKind(
    "unknown-method",
    "rows of methods of which nothing is known are in no group of figures",
    "Install the plug-in that the run was made with, then make the report again.",
)
ATTACK, OTHER, UNKNOWN = "attack", "other", "unknown"
"""Groups of conditions: made by an attack; without a family; of a method of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Methods:
    """The methods of a run, as it recorded them.

    Args:
        records: by name.
        steps: the lines of the plan.
        unknown: methods of the plan of which nothing is known: not recorded, and not installed here.
    """

    records: Mapping[str, MethodRecord]
    steps: tuple[StepRecord, ...] = ()
    unknown: tuple[str, ...] = ()
    _steps: dict[str, StepRecord] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_steps", {c: step for step in self.steps for c in step.conditions})

    def flags(self) -> list[Flag]:
        """A flag where methods are unknown."""
        if not self.unknown:
            return []
        names = ", ".join(self.unknown)
        text = f"rows of {names} could not be grouped: run.json does not describe these methods, and they are not "
        return [UNKNOWN_METHOD.flag(f"{text}installed here")]

    def family(self, method: str) -> str:
        """The family of a stressor, such as `noise`; empty for none."""
        return self.records[method].tags.get("group", "") if method in self.records else ""

    def apart(self, method: str) -> str | None:
        """The group of outcomes that are answers of something else than the model; None where they are the model's."""
        return self.records[method].apart if method in self.records else None

    def in_room(self, room: str) -> set[str]:
        """The names of a room's methods."""
        return {name for name, record in self.records.items() if record.room == room}

    def subjects(self) -> dict[str, str]:
        """Which predictor the rows of each condition evaluate."""
        return {c: step.subject for c, step in self._steps.items()}

    def radii(self, condition: str) -> list[float]:
        """Sizes at which certificates were asked for."""
        return self._steps[condition].radii if condition in self._steps else []

    def made_by(self, condition: str) -> tuple[str, dict[str, Any]] | None:
        """The method of a condition with its parameters; None where it is not known."""
        step = self._steps.get(condition)
        return None if step is None else (step.method, step.parameters)


def read_methods(config: RunConfig) -> Methods:
    """The methods of a run, from `run.json`; for a run of an earlier version from the registry.

    Raises:
        ParameterError: an earlier version's run has parameters that its method no longer has.
    """
    if config.methods or not config.plan:
        return Methods(config.methods, tuple(config.steps))
    known, unknown = installed(config.plan)
    return Methods(record_methods(known), tuple(record_steps(known)), tuple(unknown))
