"""How far the sum of two smoothed classifiers on two parts of an input is certain to keep its class.

Delta is a change of the whole input, (Delta_l, Delta_r) its parts. A smoothed part's probability of a class falls from
p to `Phi(Phi^-1(p) - |Delta_i|/sigma_i)` at most, and rises to `Phi(Phi^-1(p) + |Delta_i|/sigma_i)` at most. Both are
attained by linear classifiers, so every radius here is the best that these probabilities allow.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import scipy
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri
from torch import Tensor

from unshaken.core.errors import ParameterError

Array = NDArray[np.float64]
FAR = 50.0
"""A change, in deviations of the noise, that turns every classifier with a probability below 1."""


def dual_radius(left: ArrayLike, right: ArrayLike, sigma: float, sigma_right: float | None = None) -> Tensor:
    """The radius of the sum of two parts: `(a + b) / sqrt(1/sigma_l^2 + 1/sigma_r^2)`, a and b = Phi^-1 of the bounds.

    One of the two may lie below one half.

    Args:
        left: lower bounds of the class's probability on the left part, any shape.
        right: on the right part, in a shape that goes with it.
        sigma: deviation of the noise on the left part, in [0, 1] pixel units.
        sigma_right: on the right part; None for the same.

    Returns:
        Float64, in the common shape: the l2 radius of the whole input; 0 where nothing is certified (a + b <= 0).

    Raises:
        ParameterError: a bound is no probability, or a deviation is not above 0.

    Source: Xia et al. 2024, arXiv:2404.09586.

    >>> round(float(dual_radius(0.9, 0.8, 0.25)), 6)
    0.375327
    """
    a, b = _normal("left", left), _normal("right", right)
    s, t = _deviations(sigma, sigma_right)
    with np.errstate(invalid="ignore"):
        sum_ = np.nan_to_num(a + b, nan=0.0, posinf=np.inf, neginf=-np.inf)  # 1 and 0 make one half each: nothing
    return torch.as_tensor(np.maximum(sum_, 0.0) / np.sqrt(1 / s**2 + 1 / t**2))


def both_radius(left: ArrayLike, right: ArrayLike, sigma: float, sigma_right: float | None = None) -> Tensor:
    """Within which both parts keep the class: the smaller of `sigma Phi^-1(p)`, or 0. Arguments as in `dual_radius`.

    >>> round(float(both_radius(0.9, 0.8, 0.25)), 6)
    0.210405
    """
    a, b = _normal("left", left), _normal("right", right)
    s, t = _deviations(sigma, sigma_right)
    return torch.as_tensor(np.maximum(np.minimum(s * a, t * b), 0.0))


def released_radius(left: ArrayLike, right: ArrayLike, sigma: float, sigma_right: float | None = None) -> Tensor:
    """The figure of the published CIFAR-10 logs, `sqrt(r_l^2 + r_r^2)` with each r at 0 or above. NOT a certificate.

    It is above `dual_radius` unless r_l = r_r, and a linear classifier on each part changes its answer below it. It
    serves to match the logs that the authors released, and nothing else. Arguments as in `dual_radius`.
    """
    a, b = _normal("left", left), _normal("right", right)
    s, t = _deviations(sigma, sigma_right)
    return torch.as_tensor(np.hypot(s * np.maximum(a, 0.0), t * np.maximum(b, 0.0)))


def parts_radius(lower: ArrayLike, sigmas: ArrayLike, upper: ArrayLike | None = None, *, cells: int = 8192) -> float:
    """The radius for any number of parts, and with bounds of the rivals' probabilities too, by search.

    The class holds at a change with parts of sizes u as long as, for each rival B, `sum_i Phi(a_i - u_i/sigma_i)` is
    above `sum_i Phi(b_i + u_i/sigma_i)`. The least |u| where it ends is sought over all ways to share out |u|^2 in
    cells, each share rounded up: what is found lies below the truth, by a share of about `k / (2 cells)` at most.

    Args:
        lower: lower bounds of the class's probability on the k parts, `[k]`.
        sigmas: deviations of the noise, `[k]`, or one for all.
        upper: upper bounds of each rival's probability, `[B, k]`; None: one rival has all that is left.
        cells: of |u|^2 at the farthest.

    Returns:
        The l2 radius of the whole input; 0 where nothing is certified.

    Raises:
        ParameterError: bounds are no probabilities or do not fit each other, or a deviation is not above 0.

    >>> parts_radius([0.9, 0.8, 0.7], 0.25) < 0.3821 < parts_radius([0.9, 0.8, 0.7], 0.25) * 1.003
    True
    """
    p, s = np.atleast_1d(np.asarray(lower, np.float64)), np.asarray(sigmas, np.float64)
    if p.ndim != 1 or s.shape not in ((), p.shape) or not (s > 0).all() or cells < len(p):
        raise ParameterError(f"one bound and one deviation above 0 a part, and {len(p)} cells or more, are needed")
    others = 1 - p[None] if upper is None else np.atleast_2d(np.asarray(upper, np.float64))
    if others.shape[1:] != p.shape:
        raise ParameterError(f"rivals' bounds must be [B, {len(p)}], not {list(others.shape)}")
    a, b = _normal("lower", p), _normal("upper", np.minimum(others, 1 - p))
    s = np.broadcast_to(s, p.shape)
    return min((_against(a, row, s, cells) for row in b), default=float("inf"))


def two_sided_radius(
    left: Sequence[float], right: Sequence[float], winner: int, sigma: float, sigma_right: float | None = None
) -> float:
    """The radius of the sum of two parts from bounds of all classes' probabilities.

    Args:
        left: on the left part, `[K]`: the lower bound of the winner's probability, upper bounds of the others'.
        right: on the right part.
        winner: its class.
        sigma: as in `dual_radius`.
        sigma_right: as in `dual_radius`.

    Returns:
        The l2 radius, at least `dual_radius` of the winner's bounds.

    Raises:
        ParameterError: as in `parts_radius`.
    """
    table = np.stack([np.asarray(left, np.float64), np.asarray(right, np.float64)], 1)
    ours, others = table[winner], np.delete(table, winner, 0)
    closed = float(dual_radius(ours[0], ours[1], sigma, sigma_right))
    return max(closed, parts_radius(ours, _deviations(sigma, sigma_right), others)) if len(others) else float("inf")


def _against(a: Array, b: Array, s: Array, cells: int) -> float:
    """`parts_radius` against one rival."""

    def lead(t: float) -> float:
        return float((ndtr(a - t) - ndtr(b + t)).sum())

    if lead(0.0) <= 0:
        return 0.0
    if lead(FAR) > 0:  # some parts are constant
        return float("inf")
    far = scipy.optimize.brentq(
        lead, 0.0, FAR
    )  # it ends here with the same u_i / sigma_i in all parts: the least is no farther
    k, cell = len(a), far**2 * float((s**2).sum()) / cells
    steps = np.sqrt(np.arange(cells + k) * cell)
    rows = [ndtr(a[i] - steps / s[i]) - ndtr(b[i] + steps / s[i]) for i in range(k)]
    others = np.zeros(len(steps)) if k == 1 else rows[0]
    for row in rows[1:-1]:
        others = np.array([(others[: m + 1] + row[m::-1]).min() for m in range(len(steps))])

    def least(j: int) -> float:
        """The smallest lead at a change of j cells: shares of j cells, rounded up, are k - 1 cells more at most."""
        m = j + k - 1
        return float((others[: m + 1] + rows[-1][m::-1]).min())

    held = bisect_left(range(cells + 1), True, key=lambda j: least(j) <= 0)
    return float(np.sqrt(max(held - 1, 0) * cell))


def _normal(name: str, bounds: ArrayLike) -> Array:
    """Phi^-1 of probabilities."""
    p = np.asarray(bounds, np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ParameterError(f"{name}: probabilities must lie in [0, 1], not {p.min():g} to {p.max():g}")
    return np.asarray(ndtri(p), np.float64)


def _deviations(sigma: float, sigma_right: float | None) -> tuple[float, float]:
    both = sigma, sigma if sigma_right is None else sigma_right
    if not all(0 < s < float("inf") for s in both):
        raise ParameterError(f"sigma={both[0]:g} and sigma_right={both[1]:g} must be finite and above 0")
    return both
