"""Losses of a residual in depth: of a regression, and of the overlap of two segments of one length."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from scipy import special
from torch import Tensor

Loss = Callable[[Tensor, float], Tensor]
"""From residuals eta and the object's length l along depth, both in one unit, to losses, elementwise."""
OFFSET = 0.3
"""c of the log-depth difference."""


def l1(eta: Tensor, length: float) -> Tensor:
    """`|eta|`."""
    return eta.abs()


def l2(eta: Tensor, length: float) -> Tensor:
    """`eta^2 / 2`."""
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
"""By name."""


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
