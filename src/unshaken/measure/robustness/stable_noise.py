"""The same two classes under symmetric alpha-stable noise, where imbalance acts in another way.

Coordinates of the noise are independent, of unit scale in the sense of `exp(-|s|^alpha)`: alpha = 2 is a normal of
variance 2, alpha = 1 a Cauchy. The noise projected on w has the scale `|w|_alpha`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import optimize

from unshaken.core.errors import ParameterError
from unshaken.measure.robustness.disparity_theory import Norm, TwoClass, _constant, _root, _warn, check_budget
from unshaken.measure.statistics.columns import Numbers, numbers


@dataclass(frozen=True, slots=True)
class StableDirection:
    """The robust-optimal direction under stable noise.

    Args:
        weights: w `[d]`, its largest entry of absolute value 1; zero where eps is too large.
        margin: `(w.theta - eps |w|_q) / |w|_alpha`, the robust margin in units of scale.
    """

    weights: Numbers
    margin: float


def stable_direction(theta: ArrayLike, *, alpha: float, eps: float = 0.0, norm: Norm = "l2") -> StableDirection:
    """The w that maximises `(w.theta - eps |w|_q) / |w|_alpha`.

    By duality the value is `min_{|z|_p <= eps} |theta - z|_{alpha'}` with `1/alpha + 1/alpha' = 1`, and
    `w_i = sign(r_i) |r_i|^{1/(alpha - 1)}` for `r = theta - z`. For alpha = 1 only the largest coordinates count.

    Args:
        theta: `[d]`, half the distance between the centres, in units of scale.
        alpha: of the noise, in [1, 2].
        eps: radius of the adversary.
        norm: `linf` or `l2`.

    Warns:
        DegenerateClassifierWarning: `|theta|_p <= eps`.

    Raises:
        ParameterError: a number is not allowed.
    """
    largest = float(np.finfo(np.float64).max)
    mean = numbers("theta", theta, low=-largest, high=largest)
    check_budget(1.0, eps, norm)
    if not 1 <= alpha <= 2:
        raise ParameterError(f"alpha={alpha} must lie in [1, 2]: from Cauchy to Gaussian")
    size = np.abs(mean)
    if (size.max() if norm == "linf" else np.linalg.norm(size)) <= eps:
        _warn(f"eps={eps:g} reaches from one centre to the other")
        return StableDirection(np.zeros_like(mean), 0.0)
    if norm == "linf" or eps == 0:
        rest = np.maximum(size - eps, 0)
        weights = (rest == rest.max()) * 1.0 if alpha == 1 else (rest / rest.max()) ** (1 / (alpha - 1))
    elif alpha == 1:
        level = optimize.brentq(lambda c: np.linalg.norm(np.maximum(size - c, 0)) - eps, 0, size.max(), xtol=1e-14)
        weights = np.maximum(size - level, 0)
    else:
        weights = _against_sphere(size, alpha, eps)
    weights = weights / weights.max()
    dual = weights.sum() if norm == "linf" else np.linalg.norm(weights)
    margin = (weights @ size - eps * dual) / (weights**alpha).sum() ** (1 / alpha)
    return StableDirection(weights * np.sign(mean), float(margin))


def _against_sphere(size: Numbers, alpha: float, eps: float) -> Numbers:
    """`r^{1/(alpha-1)} = l (theta - r)` in each coordinate, l such that `|theta - r|_2 = eps`."""
    power = 1 / (alpha - 1)

    def rest(log_l: float) -> Numbers:
        low, high = np.zeros_like(size), size.copy()
        for _ in range(200):
            middle = (low + high) / 2
            over = middle**power > math.exp(log_l) * (size - middle)
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        return (low + high) / 2

    r = rest(_root(lambda log_l: float(np.linalg.norm(size - rest(log_l)) - eps)))
    return np.asarray((r / r.max()) ** power, np.float64)


def stable_rule(centre: float, *, ratio: float, eps: float = 0.0, alpha: float = 1.0) -> TwoClass:
    """The threshold of least robust error in one dimension, and what it gets right.

    Robust error is `[F(t - m) + R F(-t - m)] / (1 + R)` with `m = centre - eps`. For alpha below 2 the likelihood
    ratio is bounded, so that from some R on the minority is given up: then t is infinite and the disparity 1.

    Args:
        centre: mu > 0, half the distance between the centres, in units of scale.
        ratio: R >= 1.
        eps: radius of the adversary.
        alpha: of the noise, in [1, 2]; 1 and 2 are in closed form.

    Raises:
        ParameterError: a number is not allowed.
    """
    check_budget(ratio, eps, "l2")
    if not (centre > 0 and math.isfinite(centre)) or ratio < 1 or not 1 <= alpha <= 2:
        raise ParameterError(
            f"centre={centre:g}, ratio={ratio:g} and alpha={alpha:g} must be above 0, at least 1 and in [1, 2]"
        )
    m = centre - eps
    t = _threshold(m, ratio, alpha) if m > 0 else math.inf
    if math.isinf(t):
        return _constant(ratio)
    ends = [stable_cdf(v, alpha) for v in (centre - t, centre + t, m - t, m + t)]
    return TwoClass(t, ratio, ends[0], ends[1], ends[2], ends[3], degenerate=False)


def _threshold(m: float, ratio: float, alpha: float) -> float:
    if alpha == 2:
        return math.log(ratio) / m  # variance 2
    if alpha == 1:
        found = cauchy_stationary(m, ratio)
    else:
        grid = np.linspace(0, 4 * m + 10, 80)
        risks = [_risk(t, m, ratio, alpha) for t in grid]
        best = int(np.argmin(risks))
        ends = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
        near = optimize.minimize_scalar(_risk, bounds=ends, args=(m, ratio, alpha), method="bounded")
        found = None if best == len(grid) - 1 else float(near.x)
    if found is None or _risk(found, m, ratio, alpha) > 1:
        return math.inf
    return found


def _risk(t: float, m: float, ratio: float, alpha: float) -> float:
    """`1 + R` times the robust error; the constant majority classifier has 1."""
    return stable_cdf(t - m, alpha) + ratio * stable_cdf(-t - m, alpha)


def stable_cdf(x: float, alpha: float) -> float:
    """`Pr(noise <= x)` at unit scale.

    >>> stable_cdf(1.0, 1.0)
    0.75
    """
    if alpha == 1:
        return 0.5 + math.atan(x) / math.pi
    if alpha == 2:
        return float(scipy.stats.norm.cdf(x / math.sqrt(2)))
    return float(scipy.stats.levy_stable.cdf(x, alpha, 0))


def cauchy_stationary(m: float, ratio: float) -> float | None:
    """The stationary threshold of lower risk under Cauchy noise; None where the risk has none.

    It solves `(1 - R) t^2 + 2 m (1 + R) t + (1 - R)(1 + m^2) = 0`.

    Args:
        m: robust margin in units of scale, above 0.
        ratio: R >= 1.
    """
    if ratio == 1:
        return 0.0
    a, half, c = 1 - ratio, m * (1 + ratio), (1 - ratio) * (1 + m * m)
    square = half * half - a * c
    if square < 0:
        return None
    roots = [(-half + sign * math.sqrt(square)) / a for sign in (1, -1)]
    return min(roots, key=lambda t: _risk(t, m, ratio, 1.0))


def cauchy_limits(m: float) -> tuple[float, float]:
    """The ratios at which the Cauchy threshold ends: no stationary point above the first, given up above the second.

    Args:
        m: robust margin in units of scale, above 0.

    Returns:
        `R_stat = 1 + 2 m^2 + 2 m sqrt(m^2 + 1)`, and the lower `R_deg` from which the constant classifier is better.

    Raises:
        ParameterError: m is not above 0.
    """
    if not (m > 0 and math.isfinite(m)):
        raise ParameterError(f"m={m} must be a finite number above 0")
    last = 1 + 2 * m * m + 2 * m * math.sqrt(m * m + 1)

    def gain(ratio: float) -> float:
        t = cauchy_stationary(m, ratio)
        return 1.0 if t is None else _risk(t, m, ratio, 1.0) - 1

    return last, float(optimize.brentq(gain, 1.0, last * (1 - 1e-12), xtol=1e-10))
