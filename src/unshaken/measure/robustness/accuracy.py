"""Accuracy, robust accuracy and attack success rate, each with its exact interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from unshaken.measure.statistics.columns import flags, integers, same_length
from unshaken.measure.statistics.figure import Figure
from unshaken.measure.statistics.intervals import share


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
