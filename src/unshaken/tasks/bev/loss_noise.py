"""How much noise in depth labels is left in the gradient of a loss: variances, crossing points, efficiency."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from numpy.typing import ArrayLike
from scipy import special
from torch import Tensor

from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import shorten
from unshaken.measure.statistics.columns import Numbers

Loss = Callable[[Tensor, float], Tensor]
"""From residuals eta and the object's length l along depth, both in one unit, to losses, elementwise."""
OFFSET = 0.3
"""c of the log-depth difference."""


def l1(eta: Tensor, length: float) -> Tensor:
    """The absolute error `|eta|`."""
    return eta.abs()


def l2(eta: Tensor, length: float) -> Tensor:
    """The squared error `eta^2 / 2`."""
    return eta**2 / 2


def smooth_l1(eta: Tensor, length: float) -> Tensor:
    """`eta^2 / 2` up to 1, `|eta| - 1/2` beyond."""
    return torch.where(eta.abs() <= 1, eta**2 / 2, eta.abs() - 0.5)


def dice(eta: Tensor, length: float) -> Tensor:
    """`min(|eta| / l, 1)`: one less the dice coefficient of two segments, one moved by eta."""
    return (eta.abs() / length).clamp_max(1)


def iou(eta: Tensor, length: float) -> Tensor:
    """`1 - (l - |eta|) / (l + |eta|)`: one less their intersection over union."""
    overlap = (length - eta.abs()).clamp_min(0)
    return 1 - overlap / (2 * length - overlap)


def log_depth(eta: Tensor, length: float) -> Tensor:
    """`log(|eta| + c)`, c = 0.3."""
    return torch.log(eta.abs() + OFFSET)


LOSSES: Mapping[str, Loss] = {
    "l1": l1, "l2": l2, "smooth-l1": smooth_l1, "dice": dice, "iou": iou, "log-depth": log_depth,
}  # fmt: skip
"""Losses by name."""


def _smooth_l1_variance(sigma: float, length: float) -> float:
    a = 1 / sigma
    inner = special.erf(a / np.sqrt(2))
    return float(sigma**2 * (inner - np.sqrt(2 / np.pi) * a * np.exp(-(a**2) / 2)) + 1 - inner)


CLOSED_FORMS: Mapping[str, Callable[[float, float], float]] = {
    "l1": lambda sigma, length: 1.0,
    "l2": lambda sigma, length: sigma**2,
    "smooth-l1": _smooth_l1_variance,
    "dice": lambda sigma, length: float(special.erf(length / (np.sqrt(2) * sigma))) / length**2,
}
"""Variance of the gradient under Gaussian noise, from its deviation and the length, where there is a formula."""


NODES, PANELS = 32, 12
"""Gauss-Legendre nodes of a panel, and panels between two kinks."""
REACH = {"gauss": 4.5, "t": 40.0}
"""Range of the integral: residuals up to `sigma sinh(REACH)`."""
FREEDOM = 1.5
"""Degrees of freedom of the heavy-tailed noise."""


@dataclass(frozen=True, slots=True)
class LossNoise:
    """The gradient of a loss under noise in the label.

    Args:
        variance: of the gradient `epsilon = dL / d eta`; infinite where the integral has no limit.
        closed_form: the same by its formula, where there is one for this noise.
        pull: `d E[epsilon] / d delta`, how the mean gradient grows with a true error delta, at 0; None for drawn noise.
        efficiency: `pull^2 / variance`, which no rescaling of the loss changes; L2 has 1 / sigma^2, the most there is
            under Gaussian noise. None for drawn noise.
        error: standard error of the variance for drawn noise, else 0.
    """

    variance: float
    closed_form: float | None
    pull: float | None
    efficiency: float | None
    error: float = 0.0


def gradient(loss: str | Loss, eta: Numbers, length: float) -> Numbers:
    """The gradient of a loss by its residual.

    Args:
        loss: a name of `LOSSES`, or a function of residuals (a tensor) and length.
        eta: residuals.
        length: of the object along depth.

    Raises:
        ParameterError: there is no loss of that name.

    >>> gradient("dice", np.array([-1.0, 0.5, 3.0, 5.0]), 4.0).tolist()
    [-0.25, 0.25, 0.25, 0.0]
    """
    function = _loss(loss)
    points = torch.from_numpy(np.asarray(eta, np.float64).copy()).requires_grad_()
    with torch.enable_grad():
        value = function(points, length).sum()
    if not value.requires_grad:
        return np.zeros(points.shape)
    (found,) = torch.autograd.grad(value, points)
    return np.asarray(found.numpy())


def loss_noise(
    loss: str | Loss, sigma: float, length: float = 4.0, *, noise: str | ArrayLike = "gauss",
    kinks: Sequence[float] = (),
) -> LossNoise:  # fmt: skip
    """The variance of a loss's gradient where the label is off by noise.

    Args:
        loss: a name of `LOSSES`, or any function of residuals (float64 tensor) and length to losses, elementwise.
        sigma: scale of the noise, in the unit of the length; its deviation for `gauss`.
        length: of the object along depth, such as 4 for a car and 12 for a trailer in metres.
        noise: `gauss`, `t` (Student's, with 1.5 degrees of freedom, whose deviation is infinite), or drawn residuals,
            which are scaled by sigma.
        kinks: sizes of residuals at which the gradient jumps, besides 0, 1 and the length.

    Raises:
        ParameterError: a name is unknown, or a number is not above 0.

    >>> round(loss_noise("smooth-l1", 1.0).variance, 4)
    0.5161

    Source: Kumar et al. 2024, arXiv:2403.20318 (SeaBird), lemma of its section 3.
    """
    for name, number in (("sigma", sigma), ("length", length)):
        if not (number > 0 and math.isfinite(number)):
            raise ParameterError(f"{name}={number!r} must be a finite number above 0, in the unit of depth")
    if not isinstance(noise, str):
        return _drawn(loss, sigma, length, np.asarray(noise, np.float64))
    if noise not in REACH:
        raise ParameterError(f"there is no noise {noise!r}; {did_you_mean(noise, REACH)}")
    jumps = sorted({0.0, 1.0, length, *(abs(k) for k in kinks)})
    variance, pull = _integrals(loss, sigma, length, noise, jumps, REACH[noise])
    if noise == "t":
        nearer, _ = _integrals(loss, sigma, length, noise, jumps, REACH[noise] / 2)
        variance = math.inf if variance > 1.01 * nearer + 1e-12 else variance
    formula = CLOSED_FORMS.get(loss) if noise == "gauss" and isinstance(loss, str) else None
    closed = None if formula is None else formula(sigma, length)
    efficiency = pull**2 / variance if variance > 0 else 0.0
    return LossNoise(variance, closed, pull, efficiency)


def crossings(
    loss: str | Loss, other: str | Loss, length: float, *, low: float = 0.01, high: float = 5.0
) -> list[float]:
    """Deviations of Gaussian noise at which two losses have gradients of one variance.

    Args:
        loss: as of `loss_noise`.
        other: as of `loss_noise`.
        length: of the object.
        low: smallest deviation looked at.
        high: largest one.

    >>> [round(s, 6) for s in crossings("dice", "l2", 4.0)]
    [0.25]
    """

    def apart(sigma: float) -> float:
        return loss_noise(loss, sigma, length).variance - loss_noise(other, sigma, length).variance

    grid = np.geomspace(low, high, 31)
    values = [apart(float(s)) for s in grid]
    return [
        float(scipy.optimize.brentq(apart, grid[i], grid[i + 1], xtol=1e-12))
        for i in range(len(grid) - 1)
        if values[i] * values[i + 1] < 0
    ]


def _loss(loss: str | Loss) -> Loss:
    if not isinstance(loss, str):
        return loss
    if loss not in LOSSES:
        raise ParameterError(f"there is no loss {shorten(loss)}; {did_you_mean(loss, LOSSES)}")
    return LOSSES[loss]


def _integrals(
    loss: str | Loss, sigma: float, length: float, noise: str, jumps: Sequence[float], reach: float
) -> tuple[float, float]:
    """Variance and pull, over `eta = sigma sinh(v)`, split where the gradient jumps."""
    ends = [-reach, *sorted({s * math.asinh(j / sigma) for j in jumps for s in (-1, 1)} - {-reach, reach}), reach]
    ends = [e for e in ends if -reach <= e <= reach]
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    total = np.zeros(3)
    for start, stop in itertools.pairwise(ends):
        edges = np.linspace(start, stop, PANELS + 1)
        half = np.diff(edges)[:, None] / 2
        v = edges[:-1, None] + half * (nodes + 1)
        x = np.sinh(v)
        density = scipy.stats.norm.pdf(x) if noise == "gauss" else scipy.stats.t.pdf(x, FREEDOM)
        mass = density * np.cosh(v) * half * weights
        score = x if noise == "gauss" else (FREEDOM + 1) * x / (FREEDOM + x**2)
        slope = gradient(loss, sigma * x, length)
        total += [float((mass * part).sum()) for part in (slope, slope**2, slope * score / sigma)]
    return float(total[1] - total[0] ** 2), float(total[2])


def _drawn(loss: str | Loss, sigma: float, length: float, noise: Numbers) -> LossNoise:
    if noise.ndim != 1 or len(noise) < 2 or not np.isfinite(noise).all():
        raise ParameterError(f"drawn noise must be finite, at least two numbers; it has the shape {noise.shape}")
    slope = gradient(loss, sigma * noise, length)
    squares = (slope - slope.mean()) ** 2
    return LossNoise(float(slope.var(ddof=1)), None, None, None, float(squares.std() / math.sqrt(len(noise))))
