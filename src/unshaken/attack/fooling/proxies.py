"""How far fooling images are from real ones: total variation, and the distance to the nearest image."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.core.device import widen


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute step from a pixel to its right and lower neighbours.

    Args:
        images: `[N, C, H, W]` in [0, 1].

    Returns:
        float64 `[N]`.
    """
    steps = [widen(images.diff(dim=d).abs()).mean((1, 2, 3)) for d in (2, 3) if images.shape[d] > 1]
    return torch.stack(steps).mean(0) if steps else torch.zeros(len(images), dtype=torch.float64)


def nearest(points: Tensor, others: Tensor) -> Tensor:
    """L2 distance to the nearest of other points, float64 `[N]`.

    Args:
        points: `[N, ...]`.
        others: `[M, ...]`.
    """
    return widen(torch.cdist(points.flatten(1), others.flatten(1)).min(1).values)
