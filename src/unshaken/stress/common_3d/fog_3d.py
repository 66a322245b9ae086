"""Fog that thickens with distance."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.common_3d._depth import REFERENCE, DepthCorruption
from unshaken.stress.engine.base import Severities

ALPHA = (4, 8, 12, 16, 20)


def fog_3d(image: Tensor, depth: Tensor, alpha: float) -> Tensor:
    """Light fades with distance into the mean of the image: `t x + (1 - t) mean(x)`, `t = exp(-alpha d)`.

    Args:
        image: float64 `[C, H, W]` in [0, 1].
        depth: d, `[H, W]`.
        alpha: density of the fog, at least 0.

    Returns:
        The same shape, in [0, 1].
    """
    transmission = torch.exp(-alpha * depth)
    return image * transmission + image.mean() * (1 - transmission)


@register("fog_3d", reference=REFERENCE, group="3dcc", comparable="with depth")
class Fog3D(DepthCorruption):
    """Fade distant things into fog."""

    strengths = Severities(imagenet=ALPHA, cifar=ALPHA, tiny=ALPHA)

    @override
    def corrupt_one(self, image: Tensor, depth: Tensor, c: float, rng: SampleRng) -> Tensor:
        return fog_3d(image, depth, c)
