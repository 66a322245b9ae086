"""`State`: a frozen record whose tensors share their first dimension, the sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Self, dataclass_transform

import torch
from torch import Tensor


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(dataclasses.field,))
@dataclasses.dataclass(frozen=True, eq=False)
class State:
    """A frozen record of rows, one a sample.

    A subclass only lists its fields; it becomes a frozen dataclass. A tensor field has shape `[N, ...]`. A field may
    also hold another `State`, a dict of tensors, or None. Anything else (a norm's name, a number) is shared by all
    rows.

    >>> class Point(State):
    ...     x: Tensor
    ...     norm: str
    >>> both = Point.concat([Point(torch.zeros(2, 3), "l2"), Point(torch.ones(1, 3), "l2")])
    >>> len(both), both[torch.tensor([2])].x.tolist()
    (3, [[1.0, 1.0, 1.0]])
    """

    def __init_subclass__(cls) -> None:
        dataclasses.dataclass(frozen=True, eq=False)(cls)

    def __len__(self) -> int:
        for value in _values(self):
            if isinstance(value, Tensor | State):
                return len(value)
            if isinstance(value, dict) and value:
                return len(next(iter(value.values())))
        return 0

    def __getitem__(self, rows: Tensor | slice) -> Self:
        """The rows named by a mask `[N]`, by indices, or by a slice."""
        return type(self)(**{f.name: _take(getattr(self, f.name), rows) for f in dataclasses.fields(self)})

    def replace(self, **changes: Any) -> Self:
        """The same record with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to(self, device: torch.device) -> Self:
        """The same record on a device."""
        return type(self)(**{f.name: _move(getattr(self, f.name), device) for f in dataclasses.fields(self)})

    @classmethod
    def concat(cls, states: Sequence[Self]) -> Self:
        """One record of all rows, in order.

        Raises:
            ValueError: a shared field differs between the records.
        """
        first = states[0]
        if len(states) == 1:
            return first
        return type(first)(
            **{f.name: _join([getattr(s, f.name) for s in states], f.name) for f in dataclasses.fields(first)}
        )


def _values(state: State) -> list[Any]:
    return [getattr(state, f.name) for f in dataclasses.fields(state)]


def _take(value: Any, rows: Tensor | slice) -> Any:
    if isinstance(value, Tensor | State):
        return value[rows]
    if isinstance(value, dict):
        return {k: _take(v, rows) for k, v in value.items()}
    return value


def _move(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor | State):
        return value.to(device)
    if isinstance(value, dict):
        return {k: _move(v, device) for k, v in value.items()}
    return value


def _join(values: list[Any], name: str) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(values)
    if isinstance(first, State):
        return type(first).concat(values)
    if isinstance(first, dict):
        return {k: _join([v[k] for v in values], f"{name}[{k}]") for k in first}
    if any(v != first for v in values):
        raise ValueError(f"rows with different {name!r} cannot share a batch: {values}")
    return first
