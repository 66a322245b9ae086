"""Impulse noise, also called salt and pepper."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Corruption, Severities


def impulse_noise(images: Tensor, amount: float, uniform: Tensor) -> Tensor:
    """Replace a share of the values, each channel by itself, half by 0 and half by 1.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        amount: share of the values replaced, in [0, 1].
        uniform: draws in [0, 1) of the shape of `images`; below `amount / 2` is pepper, from there to `amount` salt.

    Returns:
        The same shape.
    """
    clean = torch.ge(uniform, amount, out=torch.empty_like(uniform))
    salted = torch.ge(uniform, amount / 2, out=torch.empty_like(uniform)).sub_(clean)
    return salted.addcmul_(images, clean)


@register("impulse_noise", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="noise")
class ImpulseNoise(Corruption):
    """Set random values to black or white, as by bit errors (salt-and-pepper noise)."""

    strengths = Severities(
        imagenet=(0.03, 0.06, 0.09, 0.17, 0.27),
        cifar=(0.01, 0.02, 0.03, 0.05, 0.07),
        tiny=(0.01, 0.02, 0.05, 0.08, 0.14),
    )

    @override
    def corrupt(self, images: Tensor, c: float, rng: SampleRng) -> Tensor:
        return impulse_noise(images, c, rng.uniform(*images.shape[1:]))
