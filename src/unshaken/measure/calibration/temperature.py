"""Temperature and vector scaling, and how far predictions are from a posterior that is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike
from scipy import special

from unshaken.core.errors import ParameterError
from unshaken.measure.calibration.calibration import _checked, _finite, _fitting, _mean_figure
from unshaken.measure.statistics.columns import Numbers
from unshaken.measure.statistics.intervals import Figure

Method = Literal["converged", "official"]
LARGEST = 1e6
"""Temperatures are looked for in [1 / LARGEST, LARGEST]."""


@dataclass(frozen=True, slots=True)
class Temperature:
    """A temperature that was fitted: probabilities are `softmax(z / T)`.

    Args:
        value: T. Above 1 the model was overconfident.
        nll: mean loss at T in nats.
        slope: derivative of the mean loss by `1 / T`; zero at an optimum inside.
        inside: whether there is an optimum at all. Without one T is the end of the range: the smallest where every
            sample is right, the largest where the logits say nothing good of the labels.
    """

    value: float
    nll: float
    slope: float
    inside: bool


def fit_temperature(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    method: Method = "converged",
    init: float = 1.0,
    lr: float = 0.01,
    steps: int = 20,
) -> Temperature:
    """The temperature of least negative log-likelihood.

    The loss is convex in `1 / T`, so that its only stationary point `sum_i (z_{i,y_i} - E_{p_i}[z]) = 0` is bracketed
    and found to machine precision. `official` is what common reference code does: L-BFGS on T itself without a line
    search. At its usual 20 steps of 0.01 it stops far from the optimum, and T may even turn negative: it is here to
    compare with.

    Args:
        logits: finite `[N, K]`, of held-out samples.
        labels: int `[N]`, or class probabilities `[N, K]` (with a known posterior: oracle scaling).
        method: `converged` or `official`.
        init: T at the start; of `official`.
        lr: step; of `official`.
        steps: iterations; of `official`.

    Raises:
        ParameterError: a logit is not finite, labels do not fit, or a number is not allowed.

    Source: Guo et al. 2017, arXiv:1706.04599.
    """
    z = _finite("logits", logits)
    target = _targets(labels, z.shape)
    if method == "converged":
        value, inside = _bracketed(z, target)
    elif method == "official":
        if not (init > 0 and lr > 0 and steps >= 1):
            raise ParameterError(f"init={init}, lr={lr} and steps={steps} must be above 0")
        value, inside = _unconverged(z, target, init, lr, steps), True
    else:
        raise ParameterError(f"method {method!r} is not one of ['converged', 'official']")
    return Temperature(value, _loss(z, target, 1 / value), _slope(z, target, 1 / value), inside)


def _targets(labels: ArrayLike, shape: tuple[int, ...]) -> Numbers:
    table = np.asarray(labels)
    if table.ndim == 2:
        if table.shape != shape:
            raise ParameterError(f"class probabilities {table.shape} came with logits {shape}: give one row a sample")
        return _checked(table, np.zeros(len(table), np.int64))[0]
    return np.asarray(np.eye(shape[1])[_fitting(labels, shape)], np.float64)


def _loss(z: Numbers, target: Numbers, inverse: float) -> float:
    return float((special.logsumexp(inverse * z, axis=1) - inverse * (target * z).sum(1)).mean())


def _slope(z: Numbers, target: Numbers, inverse: float) -> float:
    return float(((special.softmax(inverse * z, axis=1) - target) * z).sum(1).mean())


def _bracketed(z: Numbers, target: Numbers) -> tuple[float, bool]:
    if _slope(z, target, 1 / LARGEST) >= 0:
        return LARGEST, False
    if _slope(z, target, LARGEST) <= 0:
        return 1 / LARGEST, False

    def slope(log_t: float) -> float:
        return _slope(z, target, math.exp(-log_t))

    end = math.log(LARGEST)
    return math.exp(scipy.optimize.brentq(slope, -end, end, xtol=1e-13, rtol=1e-13)), True


def _unconverged(z: Numbers, target: Numbers, init: float, lr: float, steps: int) -> float:
    """Steps of L-BFGS on T without a line search, as `torch.optim.LBFGS` makes them.

    Of one number L-BFGS is the secant method: its curvature is the last change of slope over the last step.
    """

    def slope(t: float) -> float:
        return -_slope(z, target, 1 / t) / t**2

    value, gradient = float(init), slope(init)
    direction, length = -gradient, lr * min(1.0, 1 / abs(gradient)) if gradient else 0.0
    scale = 1.0
    for left in range(steps - 1, -1, -1):
        before, loss = gradient, _loss(z, target, 1 / value)
        value += length * direction
        if not left:
            break
        gradient = slope(value)
        moved, turned = length * direction, gradient - before
        if abs(gradient) <= 1e-7 or abs(moved) <= 1e-9 or abs(_loss(z, target, 1 / value) - loss) < 1e-9:
            break
        if moved * turned > 1e-10:
            scale = moved / turned
        direction, length = -scale * gradient, lr
    return value


@dataclass(frozen=True, slots=True)
class VectorScaling:
    """`softmax(w z + b)`, a scale and a shift a class.

    Args:
        scale: w `[K]`.
        shift: b `[K]`, its mean 0.
        nll: mean loss in nats.
    """

    scale: Numbers
    shift: Numbers
    nll: float

    def apply(self, logits: ArrayLike) -> Numbers:
        """The scaled logits `w z + b` of logits `[N, K]`, in the same shape."""
        return np.asarray(_finite("logits", logits) * self.scale + self.shift, np.float64)


def fit_vector_scaling(logits: ArrayLike, labels: ArrayLike, *, ridge: float = 1e-6) -> VectorScaling:
    """The scales and shifts of least negative log-likelihood; unlike one temperature they may change predictions.

    Args:
        logits: finite `[N, K]`, of held-out samples.
        labels: int `[N]`, or class probabilities `[N, K]`.
        ridge: weight of `(|w - 1|^2 + |b|^2) / 2`, without which separable samples have no optimum.

    Raises:
        ParameterError: a logit is not finite, labels do not fit, or ridge is below 0.

    Source: Guo et al. 2017, arXiv:1706.04599.
    """
    z = _finite("logits", logits)
    target, k = _targets(labels, z.shape), z.shape[1]
    if not ridge >= 0:
        raise ParameterError(f"ridge={ridge} must be at least 0")

    def objective(v: Numbers) -> tuple[float, Numbers]:
        scaled = z * v[:k] + v[k:]
        rest = special.softmax(scaled, axis=1) - target
        loss = (special.logsumexp(scaled, axis=1) - (target * scaled).sum(1)).mean()
        away = v - np.repeat([1.0, 0.0], k)
        slope = np.concatenate([(rest * z).mean(0), rest.mean(0)]) + ridge * away
        return float(loss + ridge / 2 * away @ away), slope

    start = np.repeat([1.0, 0.0], k)
    options = {"maxiter": 2000, "ftol": 1e-14, "gtol": 1e-8}
    v = scipy.optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x
    scale, shift = v[:k], v[k:] - v[k:].mean()
    return VectorScaling(scale, shift, _loss(z * scale + shift, target, 1.0))


def expected_kl(
    posterior: ArrayLike,
    logits: ArrayLike,
    temperature: float = 1.0,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Figure:
    """`E_x KL(pi(.|x) || softmax(z(x) / T))` in nats: what calibration means where the posterior is known.

    Args:
        posterior: pi `[N, K]`.
        logits: finite `[N, K]`.
        temperature: T, above 0; infinity means the uniform prediction.
        level: coverage of the interval.
        resamples: bootstrap draws of samples.
        seed: of the draws.

    Raises:
        ParameterError: tables do not fit, or T is not above 0.
    """
    z = _finite("logits", logits)
    pi = _targets(posterior, z.shape)
    if not temperature > 0:
        raise ParameterError(f"temperature={temperature} must be above 0")
    log_p = special.log_softmax(z / temperature, axis=1)
    values = np.maximum((special.xlogy(pi, pi) - pi * log_p).sum(1), 0)
    return _mean_figure(values, level, resamples, seed)


@dataclass(frozen=True, slots=True)
class Interpolator:
    """Best calibration by one temperature of a network that memorised labels drawn where two classes overlap.

    Args:
        temperature: the oracle's T.
        kl: expected KL at that T, in nats.
        raw: at T = 1.
        uniform: of the uniform prediction.
    """

    temperature: float
    kl: float
    raw: float
    uniform: float


def interpolator(classes: int, overlap: float, margin: float) -> Interpolator:
    """Closed form: k classes, a share rho of the mass where two are equally likely, the memorised label by m ahead.

    With `p = 1 / (1 + (k - 1) exp(-m / T))` the KL is `-rho ln 2 - (1 - rho/2) ln p - (rho/2) ln((1 - p) / (k - 1))`,
    least at `p = 1 - rho / 2`: half of the overlap's mass must be given to all other classes alike, which costs
    `(rho / 2) ln(k - 1)`.

    Args:
        classes: k, at least 2.
        overlap: rho in [0, 1].
        margin: m > 0.

    Raises:
        ParameterError: a number is outside its range, or chance is the optimum (k = 2 with rho = 1: T is infinite).

    >>> round(interpolator(10, 0.4, 14.2).kl, 5)
    0.66259
    """
    if classes < 2 or not 0 <= overlap <= 1 or not (margin > 0 and math.isfinite(margin)):
        raise ParameterError(f"classes={classes}, overlap={overlap}, margin={margin}: at least 2, in [0, 1], above 0")
    others = classes - 1
    uniform = math.log(classes) - overlap * math.log(2)
    raw = _interpolator_kl(-math.log1p(others * math.exp(-margin)), margin, overlap)
    if overlap == 0:
        return Interpolator(0.0, 0.0, raw, uniform)
    best = 1 - overlap / 2
    odds = best * others / (1 - best)
    temperature = math.inf if odds <= 1 else margin / math.log(odds)
    kl = _interpolator_kl(math.log(best), 0.0 if math.isinf(temperature) else margin / temperature, overlap)
    return Interpolator(temperature, kl, raw, uniform)


def _interpolator_kl(log_p: float, scaled_margin: float, overlap: float) -> float:
    """`log_p` of the memorised label; each other class lies the scaled margin below it."""
    return -overlap * math.log(2) - log_p + overlap / 2 * scaled_margin
