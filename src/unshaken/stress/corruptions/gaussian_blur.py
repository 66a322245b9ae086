"""Gaussian blur."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Corruption, Severities


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Convolve with a Gaussian cut at 4 sigma; beyond the border the nearest pixel counts.

    Args:
        images: float32 `[N, C, H, W]`.
        sigma: standard deviation in pixels; below 1/8 nothing changes.

    Returns:
        The same shape.
    """
    kernel = gaussian_kernel(sigma)
    return correlate_along(correlate_along(images, kernel, 2), kernel, 3)


def gaussian_kernel(sigma: float, truncate: float = 4.0) -> list[float]:
    """Weights of a sampled Gaussian, of sum 1.

    Args:
        sigma: standard deviation in pixels.
        truncate: radius in standard deviations; in pixels it is rounded.

    Returns:
        `2 radius + 1` weights.
    """
    radius = int(truncate * sigma + 0.5)
    weights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-radius, radius + 1)] if radius else [1.0]
    total = math.fsum(weights)
    return [w / total for w in weights]


def correlate_along(images: Tensor, kernel: Sequence[float], dim: int) -> Tensor:
    """Weighted sum of neighbours along one dimension; beyond the border the nearest pixel counts.

    Args:
        images: float32 `[N, C, H, W]`.
        kernel: an odd number of weights.
        dim: 2 for down, 3 for across.

    Returns:
        The same shape, newly made.
    """
    radius = len(kernel) // 2
    sides = (radius, radius, 0, 0) if dim == 3 else (0, 0, radius, radius)
    padded = F.pad(images, sides, mode="replicate")
    length = images.shape[dim]
    total = torch.mul(padded.narrow(dim, 0, length), kernel[0])
    for i, weight in enumerate(kernel[1:], 1):
        total.add_(padded.narrow(dim, i, length), alpha=weight)
    return total


@register("gaussian_blur", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="blur", extra="validation")
class GaussianBlur(Corruption):
    """Gaussian blur (one of the four extra corruptions for validation)."""

    strengths = Severities(imagenet=(1, 2, 3, 4, 6), cifar=(0.4, 0.6, 0.7, 0.8, 1), tiny=(0.5, 0.75, 1, 1.25, 1.5))

    @override
    def corrupt(self, images: Tensor, c: float, rng: SampleRng) -> Tensor:
        return gaussian_blur(images, c)
