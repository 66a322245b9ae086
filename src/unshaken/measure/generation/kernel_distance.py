"""Kernel distance of features (KID with whatever network gave them)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.generation.features import as_pair
from unshaken.measure.statistics.columns import Numbers


def kernel_distance(real: ArrayLike, made: ArrayLike) -> float:
    """The kernel distance (KID): the unbiased squared MMD with the cubic kernel `(x'y / D + 1)^3`.

    Unbiased for any number of samples, and below 0 about half of the time where both are alike.

    Args:
        real: features `[N, D]`, N at least 2.
        made: features of generated images `[M, D]`, M at least 2.

    Raises:
        ParameterError: features are not finite `[N, D]`, there is one alone, or their dimensions differ.

    Source: Binkowski et al. 2018, arXiv:1801.01401.
    """
    x, y = as_pair(real, made)
    if min(len(x), len(y)) < 2:
        raise ParameterError(f"a kernel distance needs two samples a side, not {len(x)} and {len(y)}")
    n, m = len(x), len(y)
    xx, yy, xy = _sums(x, x), _sums(y, y), _sums(x, y)
    own = _diagonal(x), _diagonal(y)
    return float((xx - own[0]) / (n * (n - 1)) + (yy - own[1]) / (m * (m - 1)) - 2 * xy / (n * m))


def kernel_distance_by_parts(
    real: ArrayLike, made: ArrayLike, *, parts: int = 100, size: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Mean and deviation of the kernel distance over random parts, as KID is published.

    Args:
        real: features `[N, D]`.
        made: features `[M, D]`.
        parts: how many.
        size: samples of a part; fewer where there are fewer.
        seed: of the parts.

    Raises:
        ParameterError: as `kernel_distance`; parts or size are too few.
    """
    x, y = as_pair(real, made)
    if parts < 1 or size < 2:
        raise ParameterError(f"parts={parts} must be 1 or more, size={size} 2 or more")
    draw, size = np.random.default_rng(seed), min(size, len(x), len(y))
    found = [
        kernel_distance(x[draw.permutation(len(x))[:size]], y[draw.permutation(len(y))[:size]]) for _ in range(parts)
    ]
    return float(np.mean(found)), float(np.std(found))


def _sums(x: Numbers, y: Numbers) -> float:
    """The sum of the kernel over all pairs, a part of the rows at a time."""
    rows = max(1, (1 << 23) // len(y))
    return sum(float(((x[i : i + rows] @ y.T / x.shape[1] + 1) ** 3).sum()) for i in range(0, len(x), rows))


def _diagonal(x: Numbers) -> float:
    return float((((x**2).sum(1) / x.shape[1] + 1) ** 3).sum())
