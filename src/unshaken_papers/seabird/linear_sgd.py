"""SGD on a linear head whose depth labels are noisy: the error that the theorem foretells, and the measured one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from unshaken.tasks.bev.loss_noise import Loss, gradient, loss_noise


@dataclass(frozen=True, slots=True)
class LinearError:
    """Mean squared distance of a linear head to the true one after SGD.

    Args:
        predicted: `c1 Var(epsilon)`, `c1 = sum_j s_j^2 E|h|^2`, for a start at the true head; the pull back to it is
            left out of c1, so that the measured one may lie below.
        measured: mean over runs.
        error: its standard error.
    """

    predicted: float
    measured: float
    error: float


def linear_sgd(
    loss: str | Loss, sigma: float, length: float, *, dimensions: int = 10, steps: int = 2000, rate: float = 0.002,
    decay: float = 0.6, runs: int = 400, seed: int = 0, cold: bool = False,
) -> LinearError:  # fmt: skip
    """Run SGD on `z = w^T h` with labels `w*^T h + eta`, `h ~ N(0, I)`, `eta ~ N(0, sigma^2)`.

    Args:
        loss: as of `loss_noise`.
        sigma: deviation of the noise in the labels.
        length: of the object along depth.
        dimensions: d of h.
        steps: T, one sample each.
        rate: s of the step sizes `s / (1 + t)^decay`.
        decay: see above.
        runs: repetitions.
        seed: of the draws.
        cold: start at zero with a true head of norm 1, instead of at the true head.
    """
    rng = np.random.default_rng(seed)
    sizes = rate / (1 + np.arange(steps)) ** decay
    target = np.zeros(dimensions)
    target[0] = 1.0
    w = np.tile(np.zeros(dimensions) if cold else target, (runs, 1))
    for size in sizes:
        h = rng.normal(size=(runs, dimensions))
        residual = ((w - target) * h).sum(1) - sigma * rng.normal(size=runs)
        w = w - size * gradient(loss, residual, length)[:, None] * h
    squares = ((w - target) ** 2).sum(1)
    predicted = float((sizes**2).sum() * dimensions * loss_noise(loss, sigma, length).variance)
    return LinearError(predicted, float(squares.mean()), float(squares.std(ddof=1) / math.sqrt(runs)))
