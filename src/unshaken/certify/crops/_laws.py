"""How often windows of a photo select the same crop, when scores are exchangeable and without ties."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from unshaken.core.errors import ParameterError


def same_crop_rate(candidates: int, shifts: Iterable[tuple[int, int]]) -> float:
    """The probability that a window and its shifted copies all select the same crop: `|A and B| / |A or B|`.

    The best of all candidates that any window sees is as likely to be any of them; all windows select it if all see it.

    Args:
        candidates: K, positions an axis in one window, at least 1.
        shifts: `(dy, dx)` in pixels; the window itself is always one of them.

    Raises:
        ParameterError: candidates is below 1.

    >>> round(same_crop_rate(9, [(0, 1), (0, -1), (1, 0), (-1, 0)]), 4)
    0.4188
    """
    k = _checked(candidates)
    moves = {(0, 0), *shifts}
    low_y, low_x = (min(m[axis] for m in moves) for axis in (0, 1))
    high_y, high_x = (max(m[axis] for m in moves) for axis in (0, 1))
    seen = np.zeros((k + high_y - low_y, k + high_x - low_x), np.int64)
    for dy, dx in moves:
        seen[dy - low_y : dy - low_y + k, dx - low_x : dx - low_x + k] += 1
    return float((seen == len(moves)).sum() / (seen > 0).sum())


def shift_rate(candidates: int, dy: int, dx: int) -> float:
    """One shift: `(K - |dx|)(K - |dy|) / (2 K^2 - (K - |dx|)(K - |dy|))`; `(K - 1)/(K + 1)` for one pixel.

    >>> shift_rate(9, 0, 1)
    0.8
    """
    k = _checked(candidates)
    both = max(0, k - abs(dx)) * max(0, k - abs(dy))
    return both / (2 * k * k - both)


def four_neighbours_rate(candidates: int) -> float:
    """The four shifts by one pixel along an axis, all at once: `(K - 2)^2 / (K^2 + 4 K)`."""
    k = _checked(candidates)
    return max(0, k - 2) ** 2 / (k * k + 4 * k)


def ball_rate(candidates: int, d: int) -> float:
    """All shifts of up to d pixels along each axis, at once: `((K - 2 d) / (K + 2 d))^2`.

    >>> round(ball_rate(33, 1), 4)
    0.7845
    """
    k = _checked(candidates)
    return (max(0, k - 2 * d) / (k + 2 * d)) ** 2


def candidates_for(failure: float) -> int:
    """The fewest positions an axis with which one pixel along one axis changes the crop at most this often.

    Args:
        failure: wanted share of different crops, in (0, 1): `2 / (K + 1)` is at most this.

    Raises:
        ParameterError: it is outside (0, 1).

    >>> candidates_for(0.048)
    41
    """
    if not 0 < failure < 1:
        raise ParameterError(f"the wanted share of failures must lie inside (0, 1), not {failure}")
    return math.ceil(round(2 / failure - 1, 9))


def _checked(candidates: int) -> int:
    if candidates < 1:
        raise ParameterError(f"a window has at least 1 candidate an axis, not {candidates}")
    return candidates
