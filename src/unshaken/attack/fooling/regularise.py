"""What keeps ascent away from noise: blur, and pixels set back to the mean where they do little."""

from __future__ import annotations

import torch
from torch import Tensor


def without_small(x: Tensor, percentile: float) -> Tensor:
    """Set the pixels to 0 whose norm over channels lies below a percentile of the image's own.

    Args:
        x: deviation from the mean image, `[N, C, H, W]`.
        percentile: 0 to 100; 0 leaves all.

    Returns:
        The same shape.
    """
    return _kept(x, x.norm(dim=1), percentile)


def without_useless(x: Tensor, gradient: Tensor, percentile: float, *, absolute: bool) -> Tensor:
    """Set the pixels to 0 whose first-order benefit of that, `g . (-x)` over channels, lies below a percentile.

    Args:
        x: deviation from the mean image, `[N, C, H, W]`.
        gradient: g, of the objective, in the same shape.
        percentile: 0 to 100; 0 leaves all.
        absolute: go by the benefit's size, so that what matters little either way is set to 0.

    Returns:
        The same shape.
    """
    benefit = (gradient * -x).sum(1)
    return _kept(x, benefit.abs() if absolute else benefit, percentile)


def _kept(x: Tensor, score: Tensor, percentile: float) -> Tensor:
    if percentile == 0:
        return x
    threshold = torch.quantile(score.flatten(1), percentile / 100, dim=1)
    return x * (score >= threshold[:, None, None])[:, None]
