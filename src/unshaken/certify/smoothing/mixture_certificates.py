"""Radii of a mixture of probabilities, from the robust model's alone: whatever the accurate one says.

With weight `a >= 1/2`, the mixture `(1 - a) g + a h` of two vectors in [0, 1]^K has its largest entry at y wherever
`h_y - h_i > (1 - a) / a` for all other i. All functions work in float64 on numbers or tensors that broadcast.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from unshaken.core.device import widest_float
from unshaken.core.errors import ParameterError

Value = float | Tensor
HALVINGS = 64
SLACK = 1e-12
"""By how much the margin must exceed what is needed: more than float64 rounds away."""


def margin_needed(alpha: float) -> float:
    """`(1 - a) / a`: by how much h must prefer its class so that no g can overrule it.

    Args:
        alpha: weight of h, in [1/2, 1].

    Raises:
        ParameterError: alpha is below 1/2, where a sure g always wins, or above 1.

    >>> [round(margin_needed(a), 4) for a in (0.5, 0.6, 0.76, 0.84, 0.99)]
    [1.0, 0.6667, 0.3158, 0.1905, 0.0101]
    """
    if not 0.5 <= alpha <= 1:
        raise ParameterError(
            f"alpha={alpha}: a mixture has certificates for alpha in [0.5, 1]; below, a sure accurate model decides"
        )
    return (1 - alpha) / alpha


def smooth_lipschitz(sigma: float, kind: Literal["sharp", "published"] = "sharp") -> float:
    """Lipschitz constant in l2 of a [0, 1]-valued function smoothed by `N(0, sigma^2 I)`.

    Args:
        sigma: deviation of the noise.
        kind: `sharp` is `1 / (sigma sqrt(2 pi))`; `published`, `sqrt(2 / pi) / sigma`, is twice that.

    >>> round(smooth_lipschitz(1.0), 5), round(smooth_lipschitz(1.0, "published"), 5)
    (0.39894, 0.79788)
    """
    return math.sqrt(2 / math.pi) / sigma / (1 if kind == "published" else 2)


def lipschitz_radius(top: Value, other: Value, alpha: float, lipschitz: float) -> Tensor:
    """`(a (h_y - h_i) + a - 1) / (a (Lip(h_y) + Lip(h_i)))`, its positive part, for equal Lipschitz constants.

    Args:
        top: h_y in [0, 1], or a lower bound of it.
        other: h_i in [0, 1], or an upper bound; the least radius over all i holds.
        alpha: weight of h, in [1/2, 1].
        lipschitz: of each entry of h, in the norm that the radius is meant in.

    Returns:
        Radii in float64.

    >>> round(lipschitz_radius(0.95, 0.03, 0.67, smooth_lipschitz(1.0)).item(), 5)
    0.53575
    """
    y, i = _probabilities(top, other)
    return ((y - i - margin_needed(alpha)) / (2 * lipschitz)).clamp(min=0)


def smoothing_radius(top: Value, other: Value, alpha: float, sigma: float) -> Tensor:
    """`(s / 2) [Phi^-1(a h_y) - Phi^-1(a h_i + 1 - a)]`, its positive part: the published radius.

    Args:
        top: h_y, an expectation over `N(0, s^2 I)` of a function with values in [0, 1], or a lower bound of it.
        other: h_i, or an upper bound; the second likeliest class gives the least radius.
        alpha: weight of h, in [1/2, 1].
        sigma: s, in the unit of the images.

    Returns:
        Radii in l2, float64.

    >>> round(smoothing_radius(0.95, 0.03, 0.67, 1.0).item(), 5)
    0.36708
    """
    margin_needed(alpha)
    y, i = _probabilities(top, other)
    radius = sigma / 2 * (torch.special.ndtri(alpha * y) - torch.special.ndtri(alpha * i + 1 - alpha))
    return torch.where(y - i > margin_needed(alpha), radius, 0.0).clamp(min=0)


def sharp_radius(top: Value, other: Value, alpha: float, sigma: float) -> Tensor:
    """The largest r with `Phi(Phi^-1(h_y) - r/s) - Phi(Phi^-1(h_i) + r/s) > (1 - a) / a`, by bisection from below.

    The two terms are the least h_y and the largest h_i at distance r (Cohen et al. 2019), so it uses what the other
    radii use and is never below them. With alpha 1 it is the usual radius of two classes.

    Args:
        top: as in `smoothing_radius`.
        other: as in `smoothing_radius`.
        alpha: as in `smoothing_radius`.
        sigma: as in `smoothing_radius`.

    Returns:
        Radii in l2, float64; infinite where h_y is 1 and nothing else may rise enough.

    >>> round(sharp_radius(0.95, 0.03, 0.67, 1.0).item(), 5), round(sharp_radius(0.95, 0.03, 1.0, 1.0).item(), 5)
    (1.09541, 1.76282)
    """
    needed = margin_needed(alpha)
    y, i = _probabilities(top, other)
    high, low = torch.special.ndtri(y), torch.special.ndtri(i)
    need = torch.special.ndtri(torch.tensor([needed, 1 - needed], dtype=widest_float(y.device), device=y.device))
    zero = torch.zeros_like(y)
    most = torch.minimum(torch.minimum((high - low) / 2, high - need[0]), need[1] - low)
    least, most = zero, torch.where(y - i > needed + SLACK, most, 0.0).clamp(min=0)
    endless = most.isinf()
    most = torch.where(endless, 0.0, most)
    for _ in range(HALVINGS):
        middle = (least + most) / 2
        holds = torch.special.ndtr(high - middle) - torch.special.ndtr(low + middle) > needed + SLACK
        least, most = torch.where(holds, middle, least), torch.where(holds, most, middle)
    return torch.where(endless, torch.inf, sigma * torch.where(most > 0, least, 0.0))


def _probabilities(top: Value, other: Value) -> tuple[Tensor, Tensor]:
    y, i = (torch.as_tensor(v, dtype=torch.float64) for v in (top, other))
    shape = (y + i).shape
    y, i = y.expand(shape), i.expand(shape)
    if bool(((y < 0) | (y > 1) | (i < 0) | (i > 1) | y.isnan() | i.isnan()).any()):
        raise ParameterError("certificates of a mixture need probabilities in [0, 1]: give h after its softmax or vote")
    return y, i
