"""Robust logistic regression: for a linear model the worst case is exact, and no attack is needed."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import optimize, special
from torch import nn

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ParameterError
from unshaken.measure.robustness.disparity_theory import DegenerateClassifierWarning
from unshaken.measure.statistics.columns import Flags, Numbers, flags, numbers

Norm = Literal["linf", "l2"]
RIDGE = 1e-6
FLAT = 1e-6
"""Weights whose move of all samples stays below this are none."""


@dataclass(frozen=True, slots=True)
class RobustLinear:
    """A linear classifier of two classes: `w.x + b > 0`.

    Args:
        weights: w `[d]`.
        bias: b.
        loss: that it was fitted to, without the ridge.
        degenerate: whether it predicts one class for every sample that it was fitted on.
    """

    weights: Numbers
    bias: float
    loss: float
    degenerate: bool

    def margins(self, x: ArrayLike, positive: ArrayLike, *, eps: float = 0.0, norm: Norm = "linf") -> Numbers:
        """`y (w.x + b) - eps |w|_q`, `[N]`: above 0, the sample is right whatever the adversary does.

        Args:
            x: `[N, d]`.
            positive: bool `[N]`.
            eps: radius.
            norm: `linf` or `l2`.
        """
        table, y = _table(x, positive)
        return np.asarray(y * (table @ self.weights + self.bias) - eps * _dual(self.weights, norm), np.float64)

    def classifier(self, shape: tuple[int, int, int]) -> Classifier:
        """The same as a model of images with two logits `-+ (w.x + b) / 2`, for attacks and reports.

        Args:
            shape: `(C, H, W)` with C H W = d.
        """
        if math.prod(shape) != len(self.weights):
            raise ParameterError(f"images of shape {shape} do not have the {len(self.weights)} values of the weights")
        head = nn.Linear(len(self.weights), 2)
        half = torch.from_numpy(self.weights).float() / 2
        with torch.no_grad():
            head.weight.copy_(torch.stack([-half, half]))
            head.bias.copy_(torch.tensor([-self.bias / 2, self.bias / 2]))
        return Classifier(nn.Sequential(nn.Flatten(), head), name="robust-linear").eval()


def fit_robust_linear(
    x: ArrayLike,
    positive: ArrayLike,
    *,
    eps: float = 0.0,
    norm: Norm = "linf",
    ridge: float = RIDGE,
    balanced: bool = False,
    steps: int = 2000,
) -> RobustLinear:
    """Minimise the logistic loss under every sample's worst move, by L-BFGS to convergence.

    `mean softplus(-(y (w.x + b) - eps |w|_q))`, which is convex, with q = 1 for linf and q = 2 for l2: without clipping
    to a range that is the loss after one full-size step along the sign (linf) or the normalised gradient (l2).

    For linf the weights are split into `u - v` with `u, v >= 0`, so that the l1 norm is smooth.

    Args:
        x: finite `[N, d]`.
        positive: bool `[N]`: which are of the class y = +1.
        eps: radius of the adversary, at least 0.
        norm: `linf` or `l2`.
        ridge: weight of `|w|^2 / 2`; separable samples have no optimum without it.
        balanced: weigh both classes alike, however many samples they have.
        steps: iterations at most.

    Warns:
        DegenerateClassifierWarning: the optimum answers with one class alone (eps too large, or R).

    Raises:
        ParameterError: shapes do not fit, a class is absent, or a number is not allowed.
    """
    table, y = _table(x, positive)
    if not (eps >= 0 and ridge >= 0 and steps >= 1) or norm not in ("linf", "l2"):
        raise ParameterError(
            f"eps={eps}, ridge={ridge} (0 or more), steps={steps} (1 or more), norm={norm!r} (linf or l2)"
        )
    share = float((y > 0).mean())
    if share in (0, 1):
        raise ParameterError("two classes are needed, but all samples are of one")
    weights = np.where(y > 0, 0.5 / share, 0.5 / (1 - share)) if balanced else np.ones(len(y))
    objective = _Objective(table, y, weights / len(y), eps, ridge)
    w, b = objective.box_optimum(steps) if norm == "linf" else objective.ball_optimum(steps)
    w = np.where(np.abs(table @ w).max() < FLAT, 0.0, w)
    predicted = table @ w + b > 0
    degenerate = bool(predicted.all() or not predicted.any())
    if degenerate:
        warnings.warn(
            f"the fit at eps={eps:g} ({norm}) says the same of every sample: report it as degenerate, not as a number",
            DegenerateClassifierWarning,
            stacklevel=2,
        )
    loss = float(weights @ np.logaddexp(0, eps * _dual(w, norm) - y * (table @ w + b)) / len(y))
    return RobustLinear(np.asarray(w, np.float64), b, loss, degenerate)


class _Objective:
    """The loss with its gradient, in two sets of coordinates."""

    def __init__(self, table: Numbers, y: Numbers, weights: Numbers, eps: float, ridge: float) -> None:
        self.table, self.y, self.weights, self.eps, self.ridge = table, y, weights, eps, ridge

    def box_optimum(self, steps: int) -> tuple[Numbers, float]:
        """The w and b under linf."""
        d = self.table.shape[1]
        bounds = [(0, None)] * (2 * d) + [(None, None)]
        found = optimize.minimize(
            self.box, np.zeros(2 * d + 1), jac=True, method="L-BFGS-B", bounds=bounds, options=_options(steps)
        ).x
        return found[:d] - found[d:-1], float(found[-1])

    def ball_optimum(self, steps: int) -> tuple[Numbers, float]:
        """The w and b under l2, from near zero: at zero itself the length has no gradient."""
        start = np.append((self.weights * self.y) @ self.table * 1e-3, 0.0)
        found = optimize.minimize(self.ball, start, jac=True, method="L-BFGS-B", options=_options(steps)).x
        return found[:-1], float(found[-1])

    def parts(self, w: Numbers, b: float, dual: float) -> tuple[float, Numbers, float, float]:
        """Loss, its gradient by w and b with the dual norm held, and its derivative by the dual norm."""
        z = self.eps * dual - self.y * (self.table @ w + b)
        pull = self.weights * special.expit(z)
        loss = float(self.weights @ np.logaddexp(0, z)) + self.ridge / 2 * float(w @ w)
        return loss, self.ridge * w - (pull * self.y) @ self.table, -float(pull @ self.y), self.eps * float(pull.sum())

    def box(self, v: Numbers) -> tuple[float, Numbers]:
        """By u, v and b, `|w|_1 = sum(u + v)`."""
        d = self.table.shape[1]
        loss, slope, by_bias, by_dual = self.parts(v[:d] - v[d:-1], v[-1], float(v[:-1].sum()))
        return loss, np.concatenate([slope + by_dual, by_dual - slope, [by_bias]])

    def ball(self, v: Numbers) -> tuple[float, Numbers]:
        """By w and b, `|w|_2`."""
        length = math.sqrt(float(v[:-1] @ v[:-1]) + 1e-20)
        loss, slope, by_bias, by_dual = self.parts(v[:-1], v[-1], length)
        return loss, np.append(slope + by_dual * v[:-1] / length, by_bias)


def _options(steps: int) -> dict[str, float]:
    return {"maxiter": steps, "maxfun": 2 * steps, "ftol": 1e-13, "gtol": 1e-9, "maxcor": 30}


def _dual(weights: Numbers, norm: str) -> float:
    return float(np.abs(weights).sum() if norm == "linf" else np.linalg.norm(weights))


def _table(x: ArrayLike, positive: ArrayLike) -> tuple[Numbers, Numbers]:
    table = np.asarray(x, np.float64)
    chosen: Flags = flags("positive", positive)
    if table.ndim != 2 or len(table) != len(chosen):
        raise ParameterError(f"x must be [N, d] with one row for each of {len(chosen)} labels, not {table.shape}")
    largest = float(np.finfo(np.float64).max)
    numbers("x", table.reshape(-1), low=-largest, high=largest)
    return table, np.where(chosen, 1.0, -1.0)
