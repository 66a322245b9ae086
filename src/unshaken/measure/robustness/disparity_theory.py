"""Accuracy of two imbalanced classes under the robust-optimal linear classifier, with Gaussian or stable noise.

Samples are `x = y theta + noise` with y = +1 (minority) or -1 (majority) and `Pr(-1) = R Pr(+1)`. The classifier says
+1 where `w.x > t`. An adversary moves x by at most eps in a norm with the dual q: `eps |w|_q` off the margin.

Under symmetric alpha-stable noise imbalance acts in another way. Its coordinates are independent, of unit scale in the
sense of `exp(-|s|^alpha)`: alpha = 2 is a normal of variance 2, alpha = 1 a Cauchy. The noise projected on w has the
scale `|w|_alpha`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import optimize

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers, finite_numbers

Norm = Literal["linf", "l2"]


class DegenerateClassifierWarning(UserWarning):
    """The optimum is a classifier that always answers with one class."""


@dataclass(frozen=True, slots=True)
class TwoClass:
    """Accuracies of a classifier of two classes, each a share in [0, 1].

    Args:
        threshold: t in units of `w.x`; infinite where all is called the majority.
        ratio: R, how much more frequent class -1 is than class +1; below 1 the roles are swapped.
        minority: standard accuracy of class +1.
        majority: standard accuracy of class -1.
        robust_minority: accuracy of class +1 under the adversary.
        robust_majority: accuracy of class -1 under the adversary.
        degenerate: whether it always answers with one class.
    """

    threshold: float
    ratio: float
    minority: float
    majority: float
    robust_minority: float
    robust_majority: float
    degenerate: bool

    @property
    def disparity(self) -> float:
        """Standard accuracy of class -1 minus that of class +1, in [-1, 1]."""
        return self.majority - self.minority

    @property
    def robust_disparity(self) -> float:
        """Accuracy of class -1 minus that of class +1 under the adversary, in [-1, 1]."""
        return self.robust_majority - self.robust_minority

    @property
    def accuracy(self) -> float:
        """Standard accuracy over the imbalanced distribution."""
        return (self.minority + self.ratio * self.majority) / (1 + self.ratio)

    @property
    def robust_accuracy(self) -> float:
        """Robust accuracy over the imbalanced distribution."""
        return (self.robust_minority + self.ratio * self.robust_majority) / (1 + self.ratio)


@dataclass(frozen=True, slots=True)
class GaussianOptimum:
    """The robust-optimal linear classifier of two Gaussian classes.

    Args:
        weights: w `[d]`; zero where `|theta|_p <= eps`, for the classes cannot then be separated.
        shift: z `[d]`, the adversary's best move of the mean.
        delta: `sqrt(w' Sigma w)`, the robust margin in deviations.
        margin: `a = w.theta / delta`, the standard margin in deviations.
        tilt: `tau = ln R / (2 delta)`, by which the imbalance moves both classes.
        outcome: what it gets right.
    """

    weights: Numbers
    shift: Numbers
    delta: float
    margin: float
    tilt: float
    outcome: TwoClass

    @property
    def balanced(self) -> float:
        """`Phi(a)`: standard accuracy of both classes if they were equally frequent."""
        return float(scipy.stats.norm.cdf(self.margin))


def gaussian_optimum(
    theta: ArrayLike, sigma: ArrayLike | None = None, *, ratio: float, eps: float, norm: Norm = "l2"
) -> GaussianOptimum:
    """The linear classifier of least robust error under `N(y theta, Sigma)`.

    `z = argmin_{|z|_p <= eps} (theta - z)' Sigma^-1 (theta - z)`, `w = Sigma^-1 (theta - z)`, `t = ln(R) / 2`; eps = 0
    gives the rule of Bayes. Class accuracies are `Phi(a -+ tau)`, robust ones `Phi(delta -+ tau)`.

    Args:
        theta: `[d]`, half the distance between the means.
        sigma: covariance `[d, d]`, or its diagonal `[d]`; None for the identity.
        ratio: R > 0.
        eps: radius of the adversary, at least 0, in the units of x.
        norm: `linf` or `l2`.

    Warns:
        DegenerateClassifierWarning: `|theta|_p <= eps`. With R = 1 such a classifier tosses a coin (0.5 each).

    Raises:
        ParameterError: shapes do not fit, sigma is not positive definite, or a number is not allowed.

    Source: derived from the minimax form of Bhagoji et al. 2019, arXiv:1909.12272; imbalance as in Hu et al. 2023,
    arXiv:2211.15762.
    """
    mean, cov = _checked(theta, sigma, ratio, eps, norm)
    if _length(mean, norm) <= eps:
        _warn(f"eps={eps:g} reaches from one mean to the other (|theta| = {_length(mean, norm):g})")
        return GaussianOptimum(np.zeros_like(mean), mean, 0.0, 0.0, math.inf, _constant(ratio))
    shift = _box(mean, cov, eps) if norm == "linf" else _sphere(mean, cov, eps)
    weights: Numbers = np.linalg.solve(cov, mean - shift).astype(np.float64)
    delta = math.sqrt(float((mean - shift) @ weights))
    margin = float(weights @ mean) / delta
    tilt = math.log(ratio) / (2 * delta)
    ends = scipy.stats.norm.cdf([margin - tilt, margin + tilt, delta - tilt, delta + tilt]).tolist()
    outcome = TwoClass(math.log(ratio) / 2, ratio, ends[0], ends[1], ends[2], ends[3], degenerate=False)
    return GaussianOptimum(weights, shift, delta, margin, tilt, outcome)


@dataclass(frozen=True, slots=True)
class Decomposition:
    """The cost of robustness, decomposed; all numbers in [-1, 1].

    Args:
        inherent: balanced standard accuracy, robust minus standard rule; at most 0, and 0 where w keeps its direction.
        imbalance: disparity of standard accuracies, robust minus standard rule.
        accuracy: standard accuracy on the imbalanced distribution, robust minus standard rule.
    """

    inherent: float
    imbalance: float
    accuracy: float


def decompose(
    theta: ArrayLike, sigma: ArrayLike | None = None, *, ratio: float, eps: float, norm: Norm = "l2"
) -> Decomposition:
    """The effects of asking for robustness: one inherent, one of the imbalance. Arguments as in `gaussian_optimum`."""
    plain = gaussian_optimum(theta, sigma, ratio=ratio, eps=0.0, norm=norm)
    robust = gaussian_optimum(theta, sigma, ratio=ratio, eps=eps, norm=norm)
    return Decomposition(
        inherent=robust.balanced - plain.balanced,
        imbalance=robust.outcome.disparity - plain.outcome.disparity,
        accuracy=robust.outcome.accuracy - plain.outcome.accuracy,
    )


def _checked(theta: ArrayLike, sigma: ArrayLike | None, ratio: float, eps: float, norm: str) -> tuple[Numbers, Numbers]:
    mean = finite_numbers("theta", theta)
    check_budget(ratio, eps, norm)
    cov = np.eye(len(mean)) if sigma is None else np.asarray(sigma, np.float64)
    cov = np.diag(cov) if cov.ndim == 1 else cov
    if cov.shape != (len(mean), len(mean)) or not np.isfinite(cov).all() or not np.allclose(cov, cov.T):
        raise ParameterError(
            f"sigma must be a finite symmetric covariance [{len(mean)}, {len(mean)}] or its diagonal, not {cov.shape}"
        )
    least = float(np.linalg.eigvalsh(cov)[0])
    if least <= 0:
        raise ParameterError(f"sigma must be positive definite, but its least eigenvalue is {least:g}")
    return mean, cov


def check_budget(ratio: float, eps: float, norm: str) -> None:
    """A ratio above 0, a radius of at least 0 and a known norm.

    Raises:
        ParameterError: one of them is not.
    """
    if not (ratio > 0 and math.isfinite(ratio)):
        raise ParameterError(f"ratio must be a finite number above 0, not {ratio}")
    if not (eps >= 0 and math.isfinite(eps)):
        raise ParameterError(f"eps must be a finite number of at least 0, not {eps}")
    if norm not in ("linf", "l2"):
        raise ParameterError(f"norm {norm!r} is not one of ['linf', 'l2']")


def _length(vector: Numbers, norm: str) -> float:
    return float(np.abs(vector).max() if norm == "linf" else np.linalg.norm(vector))


def _box(mean: Numbers, cov: Numbers, eps: float) -> Numbers:
    """The nearest point to the mean, in Mahalanobis distance, with `|z_i| <= eps`; by clipping for a diagonal one."""
    clipped = mean.clip(-eps, eps)
    if eps == 0 or np.array_equal(cov, np.diag(np.diag(cov))):
        return clipped
    root = np.linalg.inv(np.linalg.cholesky(cov))
    found = optimize.lsq_linear(root, root @ mean, bounds=(-eps, eps), method="bvls", tol=1e-14)
    return np.asarray(found.x, np.float64)


def _sphere(mean: Numbers, cov: Numbers, eps: float) -> Numbers:
    """`(I + l Sigma)^-1 theta` with l such that its length is eps."""
    if eps == 0:
        return np.zeros_like(mean)
    values, vectors = np.linalg.eigh(cov)
    turned = vectors.T @ mean

    def excess(log_l: float) -> float:
        return float(np.linalg.norm(turned / (1 + math.exp(log_l) * values)) - eps)

    log_l = _root(excess)
    return np.asarray(vectors @ (turned / (1 + math.exp(log_l) * values)), np.float64)


def _root(falling: Callable[[float], float]) -> float:
    """Where a falling function of a logarithm is 0."""
    low, high = -1.0, 1.0
    while falling(low) < 0:
        low -= 4
    while falling(high) > 0:
        high += 4
    return float(optimize.brentq(falling, low, high, xtol=1e-14, rtol=1e-14))


def _constant(ratio: float) -> TwoClass:
    """Always the more frequent class; a coin where there is none."""
    high = 0.5 if ratio == 1 else float(ratio > 1)
    threshold = 0.0 if ratio == 1 else math.copysign(math.inf, ratio - 1)
    return TwoClass(threshold, ratio, 1 - high, high, 1 - high, high, degenerate=True)


def _warn(why: str) -> None:
    warnings.warn(
        f"the optimum is a constant classifier: {why}; its disparity is 1 unless R = 1, so report this and no number",
        DegenerateClassifierWarning,
        stacklevel=3,
    )


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
    mean = finite_numbers("theta", theta)
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
