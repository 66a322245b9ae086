"""Snow."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import interpolate
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.motion_blur import motion_blur
from unshaken.stress.engine.base import Corruption, Severities
from unshaken.stress.engine.filters import luma

Variant = Literal["hendrycks", "bethge"]


def snow(images: Tensor, flakes: Tensor, mix: float) -> Tensor:
    """Bleach an image and add flakes twice, once turned by half a circle.

    `m x + (1 - m) max(x, 1.5 grey(x) + 0.5) + L + rot180(L)`.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        flakes: the layer L in [0, 1], `[N, 1, H, W]`.
        mix: share m of the image's own colour, in [0, 1].

    Returns:
        The same shape, not clipped.
    """
    bleached = torch.maximum(images, luma(images) * 1.5 + 0.5).mul_(1 - mix)
    return bleached.add_(images, alpha=mix).add_(flakes + flakes.flip(2, 3))


def flake_layer(
    noise: Tensor, size: tuple[int, int], zoom: float, threshold: float, radius: int, sigma: float, angles: Tensor,
    variant: Variant = "hendrycks",
) -> Tensor:  # fmt: skip
    """Falling flakes from noise: enlarge, keep what is bright, blur along the fall, all on 8-bit levels.

    Args:
        noise: the central part of the noise that enlargement keeps, `[N, ceil(H / zoom), ceil(W / zoom)]`.
        size: H and W in pixels.
        zoom: enlargement, at least 1; bilinear, ends on ends, the centre kept.
        threshold: darker places hold no flake.
        radius: the streak is `2 radius + 1` pixels long.
        sigma: standard deviation in pixels of the streak's one-sided Gaussian.
        angles: directions in degrees `[N]`.
        variant: `hendrycks` cuts the layer to 8 bits before the streak as well as rounding it after; `bethge` rounds
            after only, and keeps the upper left corner of the enlarged layer.

    Returns:
        Float32 `[N, 1, H, W]` on 8-bit levels in [0, 1].
    """
    layer = noise[:, None]
    if zoom != 1:
        sides = [round(side * zoom) for side in noise.shape[1:]]
        layer = interpolate(layer, sides, mode="bilinear", align_corners=True)
    if variant == "hendrycks":
        top, left = (layer.shape[2] - size[0]) // 2, (layer.shape[3] - size[1]) // 2
        layer = layer[:, :, top : top + size[0], left : left + size[1]]
    layer = torch.where(layer < threshold, 0, layer).clamp_(0, 1)
    if variant == "hendrycks":
        layer = layer.mul_(255).floor_().div_(255)
    layer = motion_blur(layer, radius, sigma, angles)
    return layer[:, :, : size[0], : size[1]].mul(255).round_().div_(255)


@register("snow", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="weather")
class Snow(Corruption):
    """Bleach the image and let it snow along a direction drawn for each sample.

    `bethge` is the port of Michaelis et al. 2019 (arXiv:1907.07484), which rounds the layer of flakes once less.
    """

    variant: Variant = Field(
        default="hendrycks", description="8-bit steps as the authors have them, or as the Bethge lab's"
    )

    # loc, scale, zoom, threshold, radius, sigma, mix
    strengths = Severities(
        imagenet=(
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        cifar=(
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        tiny=(
            (0.1, 0.2, 1, 0.6, 8, 3, 0.8),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.8),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
        ),
    )

    @override
    def corrupt(
        self, images: Tensor, c: tuple[float, float, float, float, int, float, float], rng: SampleRng
    ) -> Tensor:
        loc, scale, zoom, threshold, radius, sigma, mix = c
        height, width = images.shape[2:]
        noise = rng.fold("flakes").normal(math.ceil(height / zoom), math.ceil(width / zoom)).mul_(scale).add_(loc)
        angles = rng.fold("angle").uniform(low=-135, high=-45)
        flakes = flake_layer(
            noise.to(images.device), (height, width), zoom, threshold, radius, sigma, angles, self.variant
        )
        return snow(images, flakes, mix)
