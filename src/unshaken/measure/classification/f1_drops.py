"""Relative drops of macro F1 under changes, over repetitions of one experiment on the same samples."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from unshaken.measure.classification.class_means import f1_of_means, f1_rows
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.intervals import Figure
from unshaken.measure.statistics.spread import figure_of_means


def mean_f1(means: Numbers, repetitions: int = 1) -> Numbers:
    """Macro F1, the mean over repetitions.

    Args:
        means: of the columns of `f1_columns` of all repetitions side by side, `[..., 3 K S]`.
        repetitions: S.

    Returns:
        `[...]`.
    """
    return np.asarray(np.mean([f1_of_means(part) for part in np.split(means, repetitions, axis=-1)], axis=0))


def mean_drops(means: Numbers, changes: int, repetitions: int = 1) -> list[Numbers]:
    """`1 - F' / F` of the mean macro F1, for each of some changes; not a number where F is 0.

    Args:
        means: of the columns without a change, and of those under each change, `[..., 3 K S (1 + changes)]`.
        changes: how many.
        repetitions: S.
    """
    before, *after = (mean_f1(part, repetitions) for part in np.split(means, 1 + changes, axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return [np.asarray(1 - one / before) for one in after]


def f1_figure(columns: Numbers, of: Callable[[Numbers], Numbers], classes: int, repetitions: int = 1) -> Figure:
    """A function of the means of columns of macro F1, with its interval by resampling samples.

    Args:
        columns: `[N, 3 K S]`, or those of several predictions side by side.
        of: from means `[..., C]` to `[...]`.
        classes: K.
        repetitions: S; a sample is resampled with all of them.
    """
    return figure_of_means(columns, of, possible=partial(f1_rows, columns, classes, together=repetitions))


def compare_drops(
    clean: Numbers, one: Numbers, other: Numbers, of: Callable[[Numbers, Numbers], Numbers], *, classes: int,
    repetitions: int = 1,
) -> Figure:  # fmt: skip
    """A function of the relative drops under two changes, paired by sample.

    Args:
        clean: columns of `f1_columns` without a change, `[N, 3 K S]`.
        one: under a change.
        other: under another.
        of: from both drops.
        classes: K.
        repetitions: S.

    >>> from unshaken.measure.classification.class_means import f1_columns
    >>> labels = [0, 0, 1, 1]
    >>> parts = [f1_columns(labels, predicted, 2) for predicted in (labels, [0, 0, 0, 0], labels)]
    >>> round(compare_drops(*parts, lambda one, other: one - other, classes=2).value, 4)
    0.6667
    """

    def value(means: Numbers) -> Numbers:
        with np.errstate(invalid="ignore"):  # of a draw without any hit
            return of(*mean_drops(means, 2, repetitions))

    return f1_figure(np.concatenate([clean, one, other], 1), value, classes, repetitions)


def drop_figure(clean: Numbers, changed: Numbers, *, classes: int, repetitions: int = 1) -> Figure:
    """The relative drop of macro F1 under a change.

    Args:
        clean: columns of `f1_columns` without a change, `[N, 3 K S]`.
        changed: under it.
        classes: K.
        repetitions: S.
    """
    columns = np.concatenate([clean, changed], 1)
    return f1_figure(columns, lambda means: mean_drops(means, 1, repetitions)[0], classes, repetitions)
