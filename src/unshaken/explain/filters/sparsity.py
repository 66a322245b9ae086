"""Filters that are next to nothing beside the largest weight of their layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import ParameterError

NEAR_ZERO = 0.01


def near_zero(filters: NDArray[np.float64], threshold: float = NEAR_ZERO) -> NDArray[np.bool_]:
    """Whether each filter's largest weight is below a share of its layer's largest one: `max|f| < 0.01 max|W|`.

    Args:
        filters: `[n, k * k]` of one layer, unscaled.
        threshold: the share; a filter that reaches it does not count. Where all weights are 0, all filters count.

    Returns:
        Bool `[n]`.

    Raises:
        ParameterError: there is no filter.

    Source: Gavrikov & Keuper 2022, arXiv:2203.15331.

    >>> near_zero(np.array([[1.0, 0.0], [0.009, 0.0], [0.01, 0.0]])).tolist()
    [False, True, False]
    """
    if not len(filters):
        raise ParameterError("there is no filter: a layer has one at least")
    each = np.abs(filters).max(1)
    largest = each.max()
    return np.asarray(each < threshold * largest if largest > 0 else np.ones(len(filters), bool))


def sparsity(filters: NDArray[np.float64], threshold: float = NEAR_ZERO) -> float:
    """The share of filters that are next to nothing; see `near_zero`."""
    return float(near_zero(filters, threshold).mean())
