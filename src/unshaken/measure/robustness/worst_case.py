"""The worst case over several attacks or conditions, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.measure.robustness.accuracy import accuracy
from unshaken.measure.statistics.columns import Flags, flags, same_length
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.join import CodedColumn, Column, encode, tabulate


@dataclass(frozen=True, slots=True, eq=False)
class WorstCase:
    """Accuracy over the worst condition of each sample.

    Args:
        accuracy: share of samples correct under all conditions.
        conditions: the conditions in the order of their turns.
        ids: the samples, sorted.
        correct: bool `[N]`: correct under all conditions.
        first_breaker: `[N]`: the first condition under which the sample is wrong, or None.
        alone: accuracy under each condition by itself.
        after: accuracy under all conditions up to and with this one.
        only: samples that this condition alone breaks.
        dropped: samples left out because a condition lacked them.
    """

    accuracy: Figure
    conditions: tuple[str, ...]
    ids: tuple[str, ...]
    correct: Flags
    first_breaker: tuple[str | None, ...]
    alone: dict[str, Figure]
    after: dict[str, Figure]
    only: dict[str, int]
    dropped: int


def worst_case(
    ids: Column,
    condition: Column,
    correct: ArrayLike,
    *,
    order: Sequence[str] | None = None,
    complete_only: bool = False,
    level: float = 0.95,
) -> WorstCase:
    """Worst case from one row a sample and condition, in any order of rows.

    Give the clean rows as a condition of their own, first in `order`: then a sample that is wrong when clean is
    broken by `clean`, and `accuracy` is the robust accuracy over all samples.

    Args:
        ids: the rows' sample ids `[R]`.
        condition: their conditions.
        correct: their correctness.
        order: all conditions, in the order of their turns; default by name.
        complete_only: leave out samples that lack a condition, and count them, instead of raising.
        level: coverage of the intervals.

    Raises:
        ParameterError: a sample lacks a condition or stands in it twice; `order` does not name each condition once;
            a value is missing; lengths differ.
    """
    samples, coded = encode("ids", ids), encode("condition", condition)
    right = flags("correct", correct)
    same_length(ids=samples.codes, condition=coded.codes, correct=right)
    if order is not None:
        coded = _reorder(coded, order)
    table = tabulate(samples, coded, right, complete_only=complete_only)
    names, wrong = tuple(str(c) for c in coded.names), ~table.values
    broken: Flags = np.asarray(wrong.any(1))
    first = np.where(broken, wrong.argmax(1), -1)
    left = ~np.logical_or.accumulate(wrong, axis=1)
    lonely = wrong[wrong.sum(1) == 1].sum(0)
    return WorstCase(
        accuracy=accuracy(~broken, level=level),
        conditions=names,
        ids=table.ids,
        correct=~broken,
        first_breaker=tuple(None if j < 0 else names[j] for j in first.tolist()),
        alone={c: accuracy(~wrong[:, j], level=level) for j, c in enumerate(names)},
        after={c: accuracy(left[:, j], level=level) for j, c in enumerate(names)},
        only={c: int(lonely[j]) for j, c in enumerate(names)},
        dropped=table.dropped,
    )


def _reorder(conditions: CodedColumn, order: Sequence[str]) -> CodedColumn:
    place = {name: i for i, name in enumerate(order)}
    for name in conditions.names:
        if name not in place:
            raise ParameterError(f"order lacks the condition {name!r}; {did_you_mean(str(name), map(str, order))}")
    if len(order) != len(conditions.names):
        extra = [c for c in order if c not in conditions.names]
        raise ParameterError(
            f"order has {extra[0]!r}, but no row is of that condition" if extra else "order names a condition twice"
        )
    return CodedColumn(tuple(order), np.array([place[c] for c in conditions.names])[conditions.codes])
