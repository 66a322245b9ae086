"""Contrast."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Corruption, Severities


def contrast(images: Tensor, c: float) -> Tensor:
    """Pull every channel towards its spatial mean: `(x - m) c + m`.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        c: strength in [0, 1]; 1 changes nothing.

    Returns:
        The same shape, not clipped.
    """
    mean = images.mean((2, 3), keepdim=True)
    return (images - mean).mul_(c).add_(mean)


@register("contrast", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="digital")
class Contrast(Corruption):
    """Lower contrast around each channel's mean."""

    strengths = Severities(
        imagenet=(0.4, 0.3, 0.2, 0.1, 0.05), cifar=(0.75, 0.5, 0.4, 0.3, 0.15), tiny=(0.4, 0.3, 0.2, 0.1, 0.05)
    )

    @override
    def corrupt(self, images: Tensor, c: float, rng: SampleRng) -> Tensor:
        return contrast(images, c)
