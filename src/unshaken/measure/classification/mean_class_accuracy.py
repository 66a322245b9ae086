"""Accuracy as the mean over classes, which a large class does not decide alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from unshaken.measure.statistics.columns import integers, same_length


def mean_class_accuracy(labels: ArrayLike, predictions: ArrayLike) -> float:
    """The mean over classes of the share of their samples that are predicted right.

    Args:
        labels: int `[N]`.
        predictions: int `[N]`.

    Raises:
        ParameterError: there is no sample, or lengths differ.

    >>> labels = [0] * 90 + [1] * 10
    >>> mean_class_accuracy(labels, [0] * 95 + [1] * 5)
    0.75
    """
    truth, said = integers("labels", labels), integers("predictions", predictions)
    same_length(labels=truth, predictions=said)
    _, places, counts = np.unique(truth, return_inverse=True, return_counts=True)
    return float((np.bincount(places, truth == said) / counts).mean())
