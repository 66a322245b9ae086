"""Means over the epochs of trainings that were watched."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.measure.statistics.columns import Numbers


def mean_over_epochs(values: NDArray[Any]) -> Numbers:
    """The mean of each sample over the epochs that had it; the median of the others for one that no epoch had.

    Args:
        values: `[E, N]`, NaN where a training had not the sample.

    >>> mean_over_epochs(np.array([[1.0, np.nan, np.nan], [3.0, 6.0, np.nan]])).tolist()
    [2.0, 6.0, 4.0]
    """
    there = ~np.isnan(values)
    counts = there.sum(0)
    sums = np.where(there, values, 0).sum(0, dtype=np.float64)
    means: Numbers = sums / np.maximum(counts, 1)
    if not counts.all():
        means[counts == 0] = np.median(means[counts > 0]) if counts.any() else 0.0
    return means
