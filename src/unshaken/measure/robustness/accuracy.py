"""Accuracy with exact intervals: clean, by class, under attack, in the worst case, and within the classes of a set.

A set such as ImageNet-R has some classes of a classifier alone, 200 of 1,000.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.measure.statistics.columns import Flags, Indices, flags, integers, same_length
from unshaken.measure.statistics.intervals import Figure, share
from unshaken.measure.statistics.join import CodedColumn, Column, encode, tabulate


def accuracy(correct: ArrayLike, *, level: float = 0.95) -> Figure:
    """Share of samples predicted correctly, with its Clopper-Pearson interval.

    Args:
        correct: bool `[N]`.
        level: coverage of the interval.

    Raises:
        ParameterError: there is no sample, or a value is missing.

    >>> round(accuracy([True, True, False, True]).value, 2)
    0.75
    """
    right = flags("correct", correct)
    return share(int(right.sum()), len(right), level=level)


def accuracy_by_class(correct: ArrayLike, labels: ArrayLike, *, level: float = 0.95) -> dict[int, Figure]:
    """Accuracy within each class, each interval with its own coverage (not one for all classes together).

    Args:
        correct: bool `[N]`.
        labels: int `[N]`, the true classes.
        level: coverage of each interval.

    Returns:
        A figure for each class that has a sample, in ascending order; a class without samples is absent.

    Raises:
        ParameterError: there is no sample, a value is missing, or the lengths differ.
    """
    right, classes = flags("correct", correct), integers("labels", labels)
    same_length(correct=right, labels=classes)
    names, codes = np.unique(classes, return_inverse=True)
    hits = np.bincount(codes, weights=right).astype(np.int64)
    return {
        int(name): share(int(k), int(n), level=level)
        for name, k, n in zip(names, hits, np.bincount(codes), strict=True)
    }


def robust_accuracy(clean_correct: ArrayLike, broken: ArrayLike, *, level: float = 0.95) -> Figure:
    """Share of ALL samples that are correct when clean and unbroken by the attack.

    Args:
        clean_correct: bool `[N]`.
        broken: bool `[N]`: the attack found an example that is misclassified; ignored where the clean one is wrong.
        level: coverage of the interval.

    Raises:
        ParameterError: there is no sample, a value is missing, or the lengths differ.

    >>> robust_accuracy([1, 1, 1, 0], [0, 1, 1, 0]).value
    0.25
    """
    right, fooled = flags("clean_correct", clean_correct), flags("broken", broken)
    same_length(clean_correct=right, broken=fooled)
    return share(int((right & ~fooled).sum()), len(right), level=level)


def attack_success_rate(clean_correct: ArrayLike, broken: ArrayLike, *, level: float = 0.95) -> Figure | None:
    """Share of the samples correct when clean that the attack broke; n counts those samples alone.

    Args:
        clean_correct: bool `[N]`.
        broken: bool `[N]`; ignored where the clean one is wrong.
        level: coverage of the interval.

    Returns:
        The figure, or None when no sample is correct when clean: there was nothing to break.

    Raises:
        ParameterError: there is no sample, a value is missing, or the lengths differ.

    >>> round(attack_success_rate([1, 1, 1, 0], [0, 1, 1, 1]).value, 4)
    0.6667
    """
    right, fooled = flags("clean_correct", clean_correct), flags("broken", broken)
    same_length(clean_correct=right, broken=fooled)
    n = int(right.sum())
    return share(int((right & fooled).sum()), n, level=level) if n else None


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
    ids: Sequence[Any] | Indices
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
    return worst_of_matrix(table.values, [str(c) for c in coded.names], table.ids, dropped=table.dropped, level=level)


def worst_of_matrix(
    right: Flags, conditions: Sequence[str], ids: Sequence[Any] | Indices, *, dropped: int = 0, level: float = 0.95
) -> WorstCase:
    """Worst case from one row a sample and one column a condition.

    Args:
        right: bool `[N, K]`.
        conditions: in the order of their turns, `[K]`.
        ids: of the samples, `[N]`.
        dropped: samples that were left out for lack of a condition.
        level: coverage of the intervals.
    """
    names, wrong = tuple(conditions), ~right
    broken: Flags = np.asarray(wrong.any(1))
    first = np.where(broken, wrong.argmax(1), -1)
    left = ~np.logical_or.accumulate(wrong, axis=1)
    lonely = wrong[wrong.sum(1, dtype=np.int32) == 1].sum(0)
    return WorstCase(
        accuracy=accuracy(~broken, level=level),
        conditions=names,
        ids=ids,
        correct=~broken,
        first_breaker=tuple(None if j < 0 else names[j] for j in first.tolist()),
        alone={c: accuracy(~wrong[:, j], level=level) for j, c in enumerate(names)},
        after={c: accuracy(left[:, j], level=level) for j, c in enumerate(names)},
        only={c: int(lonely[j]) for j, c in enumerate(names)},
        dropped=dropped,
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


def predict_within(logits: ArrayLike, mask: ArrayLike) -> Indices:
    """The best of the classes that a set has, by their original numbers.

    Without the mask, images are also lost to classes that the set does not have, and the figure compares with none.

    Args:
        logits: `[N, K]`.
        mask: bool `[K]`, true for the classes of the set; all true changes nothing.

    Returns:
        int64 `[N]`, from 0 to K - 1.

    Raises:
        ParameterError: logits are not `[N, K]` or not numbers, or the mask has another length or no class.

    >>> predict_within([[3.0, 5.0, 1.0, 4.0]], [True, False, True, True]).tolist()
    [3]
    """
    values, allowed = np.asarray(logits, np.float64), np.flatnonzero(flags("mask", mask))
    if values.ndim != 2 or values.shape[1] != len(np.asarray(mask)) or not len(allowed):
        raise ParameterError(
            f"a mask of {len(np.asarray(mask))} classes with {len(allowed)} true ones does not fit logits of shape "
            f"{values.shape}: give one value a class, one of them true at least"
        )
    if np.isnan(values).any():
        raise ParameterError("logits have missing values (NaN): leave out the rows that have an error first")
    return np.asarray(allowed[values[:, allowed].argmax(1)], np.int64)
