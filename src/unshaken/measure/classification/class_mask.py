"""Accuracy of a classifier of many classes on a set that has some of them, such as ImageNet-R's 200 of 1,000."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Indices, flags


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
    values, kept = np.asarray(logits, np.float64), np.flatnonzero(flags("mask", mask))
    if values.ndim != 2 or values.shape[1] != len(np.asarray(mask)) or not len(kept):
        raise ParameterError(
            f"a mask of {len(np.asarray(mask))} classes with {len(kept)} true ones does not fit logits of shape "
            f"{values.shape}: give one value a class, one of them true at least"
        )
    if np.isnan(values).any():
        raise ParameterError("logits have missing values (NaN): leave out the rows that have an error first")
    return np.asarray(kept[values[:, kept].argmax(1)], np.int64)


def masked_labels(labels: ArrayLike, mask: ArrayLike) -> Indices:
    """Original class numbers as places among the classes of a set, for scores over these alone; -1 for others.

    Args:
        labels: int `[N]`, from 0 to K - 1.
        mask: bool `[K]`.

    >>> masked_labels([3, 0, 1], [True, False, True, True]).tolist()
    [2, 0, -1]
    """
    place = np.where(kept := flags("mask", mask), np.cumsum(kept) - 1, -1)
    return np.asarray(place[np.asarray(labels)], np.int64)
