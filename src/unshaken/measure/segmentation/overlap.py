"""Overlap of predicted and labelled masks by class, from counts of pixels: intersection over union, Dice."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from unshaken.measure.statistics.columns import Numbers


def iou(counts: ArrayLike) -> Numbers:
    """Intersection over union of each class; NaN of a class that is neither predicted nor labelled.

    Args:
        counts: numbers of pixels `[..., 3, K]`: intersection, predicted, labelled; over a whole data set for the usual
            figure, of which the mean over classes is mIoU.

    Returns:
        float64 `[..., K]`.

    >>> iou([[2, 0], [3, 0], [3, 0]]).tolist()
    [0.5, nan]
    """
    hits, predicted, labelled = np.moveaxis(np.asarray(counts, np.float64), -2, 0)
    return _ratio(hits, predicted + labelled - hits)


def dice(counts: ArrayLike) -> Numbers:
    """Dice coefficient of each class, `2 |A & B| / (|A| + |B|)`; NaN of an absent class.

    Args:
        counts: numbers of pixels `[..., 3, K]`, as for `iou`.

    Returns:
        float64 `[..., K]`.

    >>> dice([[2, 0], [3, 0], [3, 1]]).round(3).tolist()
    [0.667, 0.0]
    """
    hits, predicted, labelled = np.moveaxis(np.asarray(counts, np.float64), -2, 0)
    return _ratio(2 * hits, predicted + labelled)


def _ratio(top: Numbers, bottom: Numbers) -> Numbers:
    return np.asarray(np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0))
