"""`State`: a frozen record whose tensors share their first dimension, the sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar, Self, dataclass_transform

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import send


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

    _names: ClassVar[tuple[str, ...]] = ()

    @override
    def __init_subclass__(cls) -> None:
        dataclasses.dataclass(frozen=True, eq=False)(cls)
        cls._names = tuple(f.name for f in dataclasses.fields(cls))

    def __len__(self) -> int:
        for name in self._names:
            value = getattr(self, name)
            if isinstance(value, Tensor):
                return value.shape[0]
            if isinstance(value, State):
                return len(value)
            if isinstance(value, dict) and value:
                return len(next(iter(value.values())))
        return 0

    def __getitem__(self, rows: Tensor | slice) -> Self:
        """The rows named by a mask `[N]`, by indices (both on any device), or by a slice.

        Raises:
            IndexError: a mask has not one entry a row.
        """
        if isinstance(rows, slice) and not rows.start and rows.step is None and (rows.stop or 0) >= len(self):
            return self  # all of them
        if isinstance(rows, Tensor) and rows.dtype == torch.bool:
            if len(rows) != len(self):
                raise IndexError(f"a mask of {len(rows)} entries for {len(self)} rows")
            rows = rows.nonzero().flatten()
        taken: Self = _take(self, rows, {})
        return taken

    def replace(self, **changes: Any) -> Self:
        """The same record with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to(self, device: torch.device) -> Self:
        """The same record on a device."""
        return type(self)(*[_move(getattr(self, name), device) for name in self._names])

    @classmethod
    def concat(cls, states: Sequence[Self]) -> Self:
        """One record of all rows, in order.

        Raises:
            ValueError: a shared field differs between the records.
        """
        joined: Self = _join(list(states), cls.__name__, {})
        return joined


def _take(value: Any, rows: Tensor | slice, done: dict[Any, Any]) -> Any:
    """Rows of a value; what stands in two fields is taken once, and the indices go to each device once."""
    if not isinstance(value, Tensor | State | dict):
        return value
    if id(value) not in done:
        if isinstance(value, Tensor):
            if isinstance(rows, Tensor) and value.device not in done:
                done[value.device] = send(rows, value.device)
            done[id(value)] = value[rows] if isinstance(rows, slice) else value.index_select(0, done[value.device])
        elif isinstance(value, State):
            done[id(value)] = type(value)(*[_take(getattr(value, name), rows, done) for name in value._names])
        else:
            done[id(value)] = {k: _take(v, rows, done) for k, v in value.items()}
    return done[id(value)]


def _move(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor | State):
        return value.to(device)
    if isinstance(value, dict):
        return {k: _move(v, device) for k, v in value.items()}
    return value


def _join(values: list[Any], name: str, done: dict[tuple[int, ...], Any]) -> Any:
    """Values one after another; what stands in two fields is joined once."""
    first, key = values[0], tuple(id(v) for v in values)
    if len(values) == 1:
        return first
    if not isinstance(first, Tensor | State | dict):
        if any(v != first for v in values):
            raise ValueError(f"rows with different {name!r} cannot share a batch: {values}")
        return first
    if key not in done:
        if isinstance(first, Tensor):
            done[key] = torch.cat(values)
        elif isinstance(first, State):
            parts = [_join([getattr(v, n) for v in values], n, done) for n in first._names]
            done[key] = type(first)(*parts)
        else:
            done[key] = {k: _join([v[k] for v in values], f"{name}[{k}]", done) for k in first}
    return done[key]
