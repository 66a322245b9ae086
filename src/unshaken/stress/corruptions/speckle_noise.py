"""Speckle noise."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.gaussian_noise import unit_normal
from unshaken.stress.engine.base import Corruption, Severities


def speckle_noise(images: Tensor, sigma: float, noise: Tensor) -> Tensor:
    """Add noise in proportion to the pixel: `x + sigma x n`.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        sigma: standard deviation, as a share of the pixel's value.
        noise: standard normal draws of the shape of `images`.

    Returns:
        The same shape, not clipped.
    """
    return torch.addcmul(images, images, noise, value=sigma)


@register("speckle_noise", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="noise", extra="validation")
class SpeckleNoise(Corruption):
    """Add noise proportional to the pixel's brightness (one of the four extra corruptions for validation)."""

    strengths = Severities(
        imagenet=(0.15, 0.2, 0.35, 0.45, 0.6), cifar=(0.06, 0.1, 0.12, 0.16, 0.2), tiny=(0.15, 0.2, 0.25, 0.3, 0.35)
    )

    @override
    def corrupt(self, images: Tensor, c: float, rng: SampleRng) -> Tensor:
        return speckle_noise(images, c, unit_normal(rng, *images.shape[1:]))
