"""How evenly the filters of a layer vary in all directions, and how evenly random ones would."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, xlogy

from unshaken.core.errors import ParameterError

_ROUNDING = 1e-12
"""Beside the largest weight: spread of equal filters that float64 leaves after centring."""
_CEILING, _SLOPE, _MIDDLE, _FLOOR = 1.2618047, 0.88767525, 2.30436435, -0.31050834


def variance_shares(filters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the variance along each principal direction, the largest first, from the centred covariance.

    Args:
        filters: `[n, d]`.

    Returns:
        `[d]` with the sum 1; all 0 where the filters are equal.

    Raises:
        ParameterError: there is no filter.
    """
    if not len(filters):
        raise ParameterError("there is no filter: a layer has one at least")
    rows = np.asarray(filters, np.float64)
    centred = rows - rows.mean(0)
    squared = np.linalg.eigvalsh(centred.T @ centred)[::-1].clip(0)
    smallest = rows.size * (_ROUNDING * np.abs(rows).max(initial=0)) ** 2
    return np.zeros_like(squared) if squared.sum() <= smallest else squared / squared.sum()


def variance_entropy(filters: NDArray[np.float64]) -> float:
    """`H = -sum_i p_i log10 p_i` of the shares of variance p: 0 for one direction, `log10 d` for all alike.

    Args:
        filters: `[n, d]`, unscaled; d = 9 for 3 x 3 kernels, whose largest value is 0.954243.

    Returns:
        H; 0 where all filters are equal. It does not change with one scale for all filters, a rotation, or a constant
        filter that is added to all.

    Raises:
        ParameterError: there is no filter.

    >>> round(variance_entropy(np.eye(9)[[0, 0, 1, 1]] * np.array([[1], [-1], [1], [-1]])), 6)
    0.30103
    """
    p = variance_shares(filters)
    return float(-xlogy(p, p).sum() / math.log(10)) + 0.0


def random_entropy(count: int) -> float:
    """`T_H(n)`: the lower edge of the entropies of n Gaussian 3 x 3 filters, a sigmoid of log2 n that was fitted.

    Args:
        count: number of filters, 1 at least. Up to 2 the threshold is below 0 and says nothing; from there it rises to
            0.9513.

    Raises:
        ParameterError: there is no filter.

    Source: Gavrikov & Keuper 2022, arXiv:2203.15331.

    >>> round(random_entropy(64), 4)
    0.9056
    """
    if count < 1:
        raise ParameterError(f"{count} filters have no threshold: a layer has one at least")
    return float(_CEILING * expit(_SLOPE * (math.log2(count) - _MIDDLE)) + _FLOOR)
