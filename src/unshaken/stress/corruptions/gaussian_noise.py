"""Gaussian noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Corruption, Severities


def gaussian_noise(images: Tensor, sigma: float, noise: Tensor) -> Tensor:
    """Add the same amount of noise everywhere: `x + sigma n`.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        sigma: standard deviation, in [0, 1] pixel units.
        noise: standard normal draws of the shape of `images`.

    Returns:
        The same shape, not clipped.
    """
    return torch.add(images, noise, alpha=sigma)


def unit_normal(rng: SampleRng, *shape: int) -> Tensor:
    """Standard normal draws by inverting the distribution function at the centres of 2^24 equal cells.

    Twice as fast as `rng.normal`; the tails end at 5.4, where one draw in 3e7 lies.

    Args:
        rng: one stream a sample.
        shape: shape of a sample's draws.

    Returns:
        Float32 `[N, *shape]`.
    """
    centred = rng.uniform(*shape).sub_(0.5 - 2.0**-25).mul_(2)
    return centred.erfinv_().mul_(math.sqrt(2))


@register("gaussian_noise", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="noise")
class GaussianNoise(Corruption):
    """Add Gaussian noise, as from a sensor in low light."""

    strengths = Severities(
        imagenet=(0.08, 0.12, 0.18, 0.26, 0.38),
        cifar=(0.04, 0.06, 0.08, 0.09, 0.10),
        tiny=(0.04, 0.08, 0.12, 0.15, 0.18),
    )

    @override
    def corrupt(self, images: Tensor, c: float, rng: SampleRng) -> Tensor:
        return gaussian_noise(images, c, unit_normal(rng, *images.shape[1:]))
