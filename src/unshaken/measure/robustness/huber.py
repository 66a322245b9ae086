"""Lines that a few odd points do not bend: Huber's regression, many at once for the bootstrap."""

from __future__ import annotations

import numpy as np

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers

EPSILON = 1.35
"""Residuals beyond so many scales count by their size and not their square: 95 % efficiency for normal errors."""
_ROUNDS, _SCALES = 400, 10
_SAME = 1e-10


def huber_lines(x: Numbers, y: Numbers, *, epsilon: float = EPSILON) -> tuple[Numbers, Numbers]:
    """Slope and intercept of each row of points, without a penalty.

    The least of `sum_i sigma + H((y_i - a - b x_i) / sigma) sigma` over a, b and the scale sigma, where `H(z)` is `z^2`
    up to epsilon and `2 epsilon |z| - epsilon^2` beyond. Slope and intercept are found by reweighted least squares, the
    scale by `sum_i min(r_i^2 / sigma^2, epsilon^2) = n`, in turns; the objective is convex in all three. Where more
    points lie on one line than the others can move, the scale falls to 0, and the line is the one of least absolute
    deviations; scikit-learn's solver stops a little before.

    Args:
        x: `[B, M]`, each row with two values at least.
        y: `[B, M]`.
        epsilon: at least 1.

    Returns:
        `[B]` and `[B]`.

    Raises:
        ParameterError: epsilon is below 1.

    Source: Huber 1981, Robust Statistics, section 7.8; Owen 2007, Contemporary Mathematics 443.
    """
    if not epsilon >= 1:
        raise ParameterError(f"epsilon={epsilon} must be at least 1; 1.35 is usual")
    slope, intercept = _weighted(x, y, np.ones_like(x))
    scale = np.sqrt(((y - intercept[:, None] - slope[:, None] * x) ** 2).mean(1))
    moving = np.arange(len(x))  # rows that still change
    for _ in range(_ROUNDS):
        px, py, before = x[moving], y[moving], slope[moving]
        size = np.abs(py - intercept[moving, None] - before[:, None] * px)
        scale[moving] = _scales(size, scale[moving], epsilon)
        bound = np.maximum(epsilon * scale[moving, None], 1e-300)  # both may fall to 0 together
        slope[moving], intercept[moving] = _weighted(px, py, bound / np.maximum(size, bound))
        moving = moving[np.abs(slope[moving] - before) > _SAME * (1 + np.abs(before))]
        if not len(moving):
            break
    return slope, intercept


def _weighted(x: Numbers, y: Numbers, weights: Numbers) -> tuple[Numbers, Numbers]:
    """Weighted least squares of each row."""
    total = weights.sum(1)
    mx, my = (weights * x).sum(1) / total, (weights * y).sum(1) / total
    dx = x - mx[:, None]
    spread = (weights * dx**2).sum(1)
    slope = (weights * dx * (y - my[:, None])).sum(1) / np.where(spread > 0, spread, 1.0)
    return slope, my - slope * mx


def _scales(size: Numbers, scale: Numbers, epsilon: float) -> Numbers:
    """The scale that goes with residuals of these sizes."""
    n = size.shape[1]
    for _ in range(_SCALES):
        far = size > epsilon * scale[:, None]
        left = n - epsilon**2 * far.sum(1)
        near = np.where(far, 0.0, size**2).sum(1)
        following = np.where(left > 0, np.sqrt(near / np.where(left > 0, left, 1.0)), scale)
        if np.all(np.abs(following - scale) <= 1e-13 * (scale + 1e-300)):
            break
        scale = following
    return np.asarray(scale, np.float64)
