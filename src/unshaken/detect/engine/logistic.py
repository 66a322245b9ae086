"""Logistic regression with an l2 penalty, by Newton's method: the learned weights of detectors with few scores."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 100


def logistic_regression(x: Tensor, y: Tensor, c: float = 1.0) -> tuple[Tensor, Tensor]:
    """Minimise `1/2 |w|^2 + C sum_i log(1 + exp(-y_i (w.x_i + b)))`, y in {-1, 1}; b is not penalised.

    That is scikit-learn's `LogisticRegression(C=c)`. The problem is convex, and full Newton steps are halved until
    they lower it.

    Args:
        x: float64 `[N, L]`; standardise the columns first.
        y: bool `[N]`, both values present.
        c: C, above 0; a smaller one pulls the weights closer to 0.

    Returns:
        w `[L]` and b, a scalar tensor.

    >>> w, b = logistic_regression(torch.tensor([[-1.0], [1.0]]).double(), torch.tensor([False, True]))
    >>> round(w.item(), 4), abs(round(b.item(), 4))
    (0.6748, 0.0)
    """
    ones = torch.cat([x, torch.ones_like(x[:, :1])], 1)
    sign = y.to(x.dtype) * 2 - 1
    penalty = torch.cat([torch.ones_like(x[0]), x.new_zeros(1)])

    def value(w: Tensor) -> Tensor:
        return (penalty * w * w).sum() / 2 + c * F.softplus(-sign * (ones @ w)).sum()

    w = x.new_zeros(ones.shape[1])
    for _ in range(STEPS):
        p = (ones @ w).sigmoid()
        slope = penalty * w + c * (ones.T @ (p - y.to(x.dtype)))
        if slope.abs().max() < 1e-9 * c * len(x):
            break
        curvature = torch.diag(penalty) + c * (ones.T * (p * (1 - p)).clamp(min=1e-12)) @ ones
        step, now, size = torch.linalg.solve(curvature, slope), value(w), 1.0
        while value(w - size * step) > now and size > 1e-6:
            size /= 2
        w = w - size * step
    return w[:-1], w[-1]
