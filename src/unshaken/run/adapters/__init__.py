"""Conditions and rows that a run makes of methods. One file a room; a method knows nothing of it.

`conditions_of` and `rows_of` are generic functions: the file of a room (`attack.py` for methods of the room `attack`)
registers what to do for the room's base classes, and is imported when the first method of the room is met.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.context import Context
from unshaken.core.part import Condition, Part
from unshaken.tasks.classification import CLASSIFICATION
from unshaken.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plan, as its method reads it.

    Args:
        label: the method's name, made unique within the plan.
        severities: of stressors; empty for all that the method has.
        eps: budgets of attacks, or radii to certify.
        norm: of the budgets.
        target: rule or class that attacks are to reach; None for any class but the label.
    """

    label: str
    severities: Sequence[int] = ()
    eps: Sequence[float] = ()
    norm: str = "linf"
    target: str | None = None


@singledispatch
def conditions_of(method: Any, line: Line) -> list[Condition]:
    """The conditions of one line of a plan.

    Args:
        method: any that `has_adapter`.
        line: of the plan.

    Raises:
        ParameterError: the method has no such severities, budgets or norm.
        TypeError: no adapter is known for the method.
    """
    _load_adapter(type(method), conditions_of)
    return conditions_of(method, line)


@singledispatch
def rows_of(method: Any, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
    """The rows of one shard, by default one part a condition.

    Args:
        method: any that `has_adapter`.
        batch: the samples.
        conditions: of one line of a plan.
        context: of the run.

    Raises:
        TypeError: no adapter is known for the method.
    """
    _load_adapter(type(method), rows_of)
    return rows_of(method, batch, conditions, context)


def task_rows(context: Context, condition: Condition, batch: Batch, outputs: Tensor, **columns: Any) -> list[Part]:
    """Rows that the run's task makes of a model's outputs: a part of `outcomes`, and parts of other tables.

    Args:
        context: of the run; outside one the task is classification.
        condition: where the rows belong.
        batch: the samples.
        outputs: of the exact model.
        columns: as of `unshaken.core.outcomes.outcomes`.
    """
    return (context.find(Task) or CLASSIFICATION).rows(condition, batch, outputs, **columns)


def has_adapter(method: type[Any]) -> bool:
    """Whether a run can execute methods of this class."""
    _import_adapter(method, rows_of)
    return rows_of.dispatch(method) is not rows_of.dispatch(object)


def _load_adapter(method: type[Any], generic: Any) -> None:
    _import_adapter(method, generic)
    if generic.dispatch(method) is generic.dispatch(object):
        raise TypeError(f"{method.__name__} is no method that a run can execute")


def _import_adapter(method: type[Any], generic: Any) -> None:
    module = f"{__name__}.{getattr(method, 'room', '')}"
    unknown = generic.dispatch(method) is generic.dispatch(object)
    if unknown and importlib.util.find_spec(module) is not None:
        importlib.import_module(module)
