"""Measures of a layer's filters: variance entropy, orthogonality, smoothness, sparsity, and the kinds of bad layers."""

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


_BLOCK = 1024


def orthogonality(weight: NDArray[np.float64]) -> float | None:
    """`O = 1 - sum_ij |G - I|_ij / (n (n - 1))` of the Gram matrix G of the n output channels, scaled to length 1.

    Args:
        weight: `[n, ...]`, an output channel a row.

    Returns:
        O in [0, 1]. A channel without weights stays 0: it is at right angles to all others, and its place on the
        diagonal costs `1 / (n (n - 1))`. None where this means nothing: for a single channel, or for a layer whose
        weights are all 0 (the formula alone would give a large value).

    Source: Gavrikov & Keuper 2022, arXiv:2203.15331.

    >>> orthogonality(np.eye(3)), orthogonality(np.ones((3, 4))), orthogonality(np.zeros((4, 9)))
    (1.0, 0.0, None)
    """
    rows = np.asarray(weight, np.float64).reshape(len(weight), -1)
    largest = np.abs(rows).max(1, keepdims=True)
    n = len(rows)
    if n < 2 or not largest.any():
        return None
    rows = rows / np.where(largest > 0, largest, 1)  # so that no square is too small or too large for a float
    rows /= np.where(largest > 0, np.linalg.norm(rows, axis=1, keepdims=True), 1)
    total = 0.0
    for first in range(0, n, _BLOCK):
        part = rows[first : first + _BLOCK] @ rows.T
        part[np.arange(len(part)), np.arange(first, first + len(part))] -= 1
        total += float(np.abs(part).sum())
    return float(np.clip(1 - total / (n * (n - 1)), 0, 1))


def kernel_variation(weight: NDArray[np.float64]) -> float | None:
    """Mean total variation of the kernels, each scaled to length 1: small for smooth ones, large for noise.

    The total variation of a kernel is the sum of the absolute differences of neighbours, down and across. A constant
    kernel has 0; a checkerboard of 3 x 3 has 8.

    Args:
        weight: `[outputs, inputs, height, width]`.

    Returns:
        The mean over kernels that are not 0; None where all are.

    >>> kernel_variation(np.ones((1, 1, 3, 3)))
    0.0
    """
    kernels = weight.reshape(-1, *weight.shape[2:])
    largest = np.abs(kernels).max((1, 2))
    kernels = kernels[largest > 0] / largest[largest > 0, None, None]
    if not len(kernels):
        return None
    variation = np.abs(np.diff(kernels, axis=1)).sum((1, 2)) + np.abs(np.diff(kernels, axis=2)).sum((1, 2))
    return float((variation / np.sqrt((kernels**2).sum((1, 2)))).mean())


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


SPARSE, LOW_VARIANCE, RANDOM = "sparse", "low-variance", "random"
KINDS = (SPARSE, LOW_VARIANCE, RANDOM)
FEWEST = 16
"""Filters that an entropy needs to say anything of a layer."""


def degenerate_kinds(
    sparsity: float,
    entropy: float,
    random_entropy: float | None,
    filters: int,
    *,
    most_sparsity: float = 0.5,
    least_entropy: float = 0.5,
) -> tuple[str, ...]:
    """The kinds that a layer is of: `sparse`, `low-variance`, `random` (as an untrained one); empty for none.

    Args:
        sparsity: share of filters next to nothing.
        entropy: variance entropy H.
        random_entropy: the threshold T_H of as many Gaussian filters; None where it is not known.
        filters: their number; below 16 the entropy is not judged.
        most_sparsity: share of filters next to nothing, above which it is `sparse`.
        least_entropy: variance entropy below which it is `low-variance`: few directions, repeated.

    >>> degenerate_kinds(0.0, 0.96, 0.95, 4096), degenerate_kinds(0.6, 0.3, 0.95, 4096)
    (('random',), ('sparse', 'low-variance'))
    """
    enough = filters >= FEWEST
    marks = {
        SPARSE: sparsity > most_sparsity,
        LOW_VARIANCE: enough and entropy < least_entropy,
        RANDOM: enough and random_entropy is not None and entropy >= random_entropy,
    }
    return tuple(kind for kind in KINDS if marks[kind])
