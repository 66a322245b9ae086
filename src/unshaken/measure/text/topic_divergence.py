"""Topical coherence: the divergence of the topics of two texts."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers

FLOOR = 1e-5
"""Share that stands for a topic that a text does not have."""


def topic_divergence(given: ArrayLike, added: ArrayLike, *, floor: float = FLOOR) -> Numbers:
    """Kullback-Leibler divergence `sum p log2(p / q)` of topic shares in bits, a value for each pair of texts.

    Shares below the floor are set to it, and are not brought to the sum 1 again: two texts of one topic each, not the
    same one, have the largest value that the floor allows.

    Args:
        given: p, topics of the texts that are there, `[N, T]` or `[T]`.
        added: q, topics of the texts that are added, in the same shape.
        floor: above 0.

    Raises:
        ParameterError: shapes differ, a share is negative or not finite, or the floor is not above 0.

    >>> topic_divergence([0.9, 0.1], [0.5, 0.5]).round(6).item()
    0.531004
    """
    p, q = np.asarray(given, np.float64), np.asarray(added, np.float64)
    if p.shape != q.shape or not p.size:
        raise ParameterError(f"topics of both texts must have one shape [N, T], not {p.shape} and {q.shape}")
    if not (np.isfinite(p).all() and np.isfinite(q).all() and min(p.min(), q.min()) >= 0):
        raise ParameterError("topic shares must be finite numbers of 0 or more")
    if not floor > 0:
        raise ParameterError(f"floor must be above 0, not {floor}: an absent topic has no logarithm")
    p, q = np.maximum(p, floor), np.maximum(q, floor)
    return np.asarray((p * np.log2(p / q)).sum(-1))
