"""Records of a plan's methods in `run.json`, so that a report needs the run directory alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from unshaken.core.errors import ParameterError
from unshaken.core.part import MODEL
from unshaken.core.registry import find_method
from unshaken.run.plan import prepare
from unshaken.store.config import Entry, MethodRecord, StepRecord


def record_methods(plan: Sequence[Entry]) -> dict[str, MethodRecord]:
    """The methods of a plan and those that they name, such as the detectors of a screening.

    Raises:
        ParameterError: a method is not known or its parameters are wrong.
    """
    names: dict[str, None] = {}
    for step in prepare(plan):
        names |= dict.fromkeys([step.entry.method, *getattr(step.method, "named_methods", ())])
    return {name: _method(name) for name in names}


def record_steps(plan: Sequence[Entry]) -> list[StepRecord]:
    """The lines of a plan.

    Raises:
        ParameterError: as in `record_methods`.
    """
    return [
        StepRecord(
            method=step.entry.method,
            conditions=[c.id for c in step.conditions],
            subject=getattr(step.method, "subject", MODEL),
            radii=list(getattr(step.method, "radii", ())),
            parameters=_finite(step.method.model_dump(mode="json")) if isinstance(step.method, BaseModel) else {},
            label=step.label,
        )
        for step in prepare(plan)
    ]


def installed(plan: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
    """The lines of a plan whose methods are installed here, and the names of the other methods."""
    known, unknown = list[Entry](), dict[str, None]()
    for entry in plan:
        try:
            find_method(entry.method)
            known.append(entry)
        except ParameterError:
            unknown[entry.method] = None
    return known, list(unknown)


def _method(name: str) -> MethodRecord:
    info = find_method(name)
    return MethodRecord(
        room=info.room, tags=info.tags, apart=getattr(info.cls, "apart", None), title=info.title or None
    )


def _finite(value: Any) -> Any:
    """The same with text for numbers that JSON has no word for."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list) else value
