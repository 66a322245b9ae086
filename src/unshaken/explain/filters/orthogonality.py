"""How different the output channels of a layer are: 1 when all are at right angles, 0 when all are parallel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
