"""The GeoMLE estimate of intrinsic dimension: local estimates at several radii, extrapolated to radius 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import DataError
from unshaken.explain.geometry.neighbours import Neighbours

Numbers = NDArray[np.float64]
KEPT = 0.632
"""Share of the points that a bootstrap sample holds."""


def geo_mle_dimension(
    neighbours: Neighbours,
    k_range: tuple[int, int] = (25, 55),
    *,
    samples: int = 20,
    ridge: float = 5e-3,
    seed: int = 0,
) -> float:
    """The mean over points of the constant of a quadratic, fitted to `d_k(x)` against the radius `T_k(x)`.

    For each k of a range the local estimate `d_k = [ (1/(k-2)) sum_{j<k} log(T_k / T_j) ]^-1` and its radius are
    averaged over bootstrap samples of the points, duplicates of a sample taken once. The radius is measured in units of
    the point's largest, so that the ridge penalty does not depend on the scale of the data. The published method
    weights the fit by the estimates' spread; this one does not.

    Args:
        neighbours: known neighbours of all points; about twice the largest k.
        k_range: first and last k.
        samples: bootstrap samples.
        ridge: penalty of the slope and the curvature.
        seed: of the samples.

    Raises:
        DataError: too few neighbours are known, or no point is left.

    Source: Gomtsyan et al. 2019, arXiv:1910.11175.
    """
    low, high = k_range
    n, known = neighbours.distances.shape
    if known < high or low < 3:
        raise DataError(f"GeoMLE up to k={high} needs that many known neighbours, not {known}, and k from 3 on")
    rng = np.random.default_rng(seed)
    total, radius, count = np.zeros((n, high - low + 1)), np.zeros((n, high - low + 1)), np.zeros((n, 1))
    usable = neighbours.distances[:, 0] > 0
    for _ in range(samples):
        chosen = np.zeros(n, bool)
        chosen[rng.integers(n, size=n)] = True
        there = chosen[neighbours.indices]
        rows = usable & (there.sum(1) >= high)
        first = np.argsort(~there[rows], 1, kind="stable")[:, :high]
        t = np.take_along_axis(neighbours.distances[rows], first, 1)
        logs = np.log(t)
        ks = np.arange(low, high + 1)
        inner = (ks - 1) * logs[:, low - 1 :] - np.cumsum(logs, 1)[:, low - 2 : high - 1]
        total[rows] += (ks - 2) / np.maximum(inner, np.finfo(float).tiny)
        radius[rows] += t[:, low - 1 :]
        count[rows] += 1
    rows = (count[:, 0] > 0) & np.isfinite(total).all(1)
    if not rows.any():
        raise DataError("GeoMLE: no point has enough neighbours that are not duplicates: give more images")
    d, r = total[rows] / count[rows], radius[rows] / count[rows]
    return float(_constants(r / r[:, -1:], d, ridge).mean())


def _constants(r: Numbers, d: Numbers, ridge: float) -> Numbers:
    """The constant of each row's ridge fit `d = a + b r + c r^2`."""
    design = np.stack([np.ones_like(r), r, r**2], 2)
    normal = design.transpose(0, 2, 1) @ design + ridge * np.diag([0.0, 1.0, 1.0])
    right = design.transpose(0, 2, 1) @ d[:, :, None]
    return np.asarray(np.linalg.solve(normal, right)[:, 0, 0])
