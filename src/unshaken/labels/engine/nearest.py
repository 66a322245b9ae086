"""Nearest neighbours by cosine, in blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unshaken.measure.statistics.columns import Indices, Numbers

_SCORES = 1 << 24
"""Similarities held at once."""


def nearest(features: NDArray[np.floating], k: int) -> tuple[Indices, Numbers]:
    """The k nearest of the other samples by cosine, in blocks.

    Args:
        features: `[N, D]`.
        k: fewer than N.

    Returns:
        Their indices, int `[N, k]`, and cosines `[N, k]`; not sorted.
    """
    unit = np.asarray(features, np.float32)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    found, cosine = np.empty((len(unit), k), np.int64), np.empty((len(unit), k))
    step = max(1, _SCORES // len(unit))
    for start in range(0, len(unit), step):
        part = slice(start, min(start + step, len(unit)))
        similarity = unit[part] @ unit.T
        similarity[np.arange(len(similarity)), np.arange(part.start, part.stop)] = -np.inf
        found[part] = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        cosine[part] = np.take_along_axis(similarity, found[part], 1)
    return found, cosine
