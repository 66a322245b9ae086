"""Spatter: drops of water or mud on the lens."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.engine.base import Corruption, Severities
from unshaken.stress.engine.filters import Bytes, canny, chamfer, equalize, luma, mean3, relief

WATER = (175 / 255, 238 / 255, 238 / 255)
MUD = (63 / 255, 42 / 255, 20 / 255)


def water(images: Tensor, liquid: Tensor, k: float) -> Tensor:
    """Add drops of water whose rims shine: the relief of the distance to their edges, times their depth.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        liquid: depth L, zero outside drops, `[N, 1, H, W]`.
        k: brightness of the brightest place.

    Returns:
        The same shape, not clipped.
    """
    depths = (liquid * 255).clamp_(0, 255).cpu().numpy().astype(np.uint8)
    shine = torch.from_numpy(np.stack([_shine(depth) for depth in depths[:, 0]]))[:, None].to(images.device)
    return images + _dye(shine * k, WATER, images.shape[1])


def _shine(depth: Bytes) -> NDArray[np.float32]:
    """The relief of the distance to the rims of drops, times their depth `[H, W]`, at most 1."""
    distance = (mean3(chamfer(canny(depth, 50, 150), 20)) + np.float32(1e-4)).astype(np.uint8)
    shine = np.multiply(np.rint(mean3(relief(equalize(distance)))), depth, dtype=np.float32)
    shine /= max(shine.max(), np.float32(1))
    return shine


def mud(images: Tensor, liquid: Tensor, threshold: float, sigma: float) -> Tensor:
    """Cover with splashes of mud: `x (1 - m) + m brown`, m the blurred splashes, zero below 0.8.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        liquid: depth, `[N, 1, H, W]`.
        threshold: depth above which there is mud.
        sigma: blur of the splashes in pixels.

    Returns:
        The same shape.
    """
    m = gaussian_blur((liquid > threshold).to(images.dtype), sigma)
    m = torch.where(m < 0.8, 0, m)
    return images * (1 - m) + _dye(m, MUD, images.shape[1])


def _dye(amount: Tensor, colour: tuple[float, float, float], channels: int) -> Tensor:
    coloured = amount * amount.new_tensor(colour).view(1, 3, 1, 1)
    return coloured if channels == 3 else luma(coloured)


@register("spatter", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="extra")
class Spatter(Corruption):
    """Add drops of water (severities 1 to 3) or splashes of mud (4 and 5)."""

    # loc, scale, sigma, threshold, k, whether mud
    strengths = Severities(
        imagenet=(
            (0.65, 0.3, 4, 0.69, 0.6, False),
            (0.65, 0.3, 3, 0.68, 0.6, False),
            (0.65, 0.3, 2, 0.68, 0.5, False),
            (0.65, 0.3, 1, 0.65, 1.5, True),
            (0.67, 0.4, 1, 0.65, 1.5, True),
        ),
        cifar=(
            (0.62, 0.1, 0.7, 0.7, 0.5, False),
            (0.65, 0.1, 0.8, 0.7, 0.5, False),
            (0.65, 0.3, 1, 0.69, 0.5, False),
            (0.65, 0.1, 0.7, 0.69, 0.6, True),
            (0.65, 0.1, 0.5, 0.68, 0.6, True),
        ),
        tiny=(
            (0.62, 0.1, 0.7, 0.7, 0.6, False),
            (0.65, 0.1, 0.8, 0.7, 0.6, False),
            (0.65, 0.3, 1, 0.69, 0.6, False),
            (0.65, 0.1, 0.7, 0.68, 0.6, True),
            (0.65, 0.1, 0.5, 0.67, 0.6, True),
        ),
    )

    @override
    def corrupt(self, images: Tensor, c: tuple[float, float, float, float, float, bool], rng: SampleRng) -> Tensor:
        loc, scale, sigma, threshold, k, muddy = c
        noise = rng.fold("liquid").normal(1, *images.shape[2:]).mul_(scale).add_(loc).to(images.device)
        liquid = gaussian_blur(noise, sigma)
        liquid = torch.where(liquid < threshold, 0, liquid)
        return mud(images, liquid, threshold, k) if muddy else water(images, liquid, k)
