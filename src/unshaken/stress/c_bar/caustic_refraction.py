"""Refraction by rippled water."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widest_float
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar._pattern import (
    REFERENCE,
    PatternCorruption,
    draw,
    places,
    sample_bilinear,
    severities,
    side,
)

DENSITY = 4.0


def caustics(image: Tensor, time: float, size: float) -> Tensor:
    """Light on the bottom of a pool: five waves bent by one another, bright where they meet; blurred by one pixel.

    Args:
        image: gives the size.
        time: moves the waves.
        size: of a tile of the pattern in pixels.

    Returns:
        Float64 `[H, W]` in [0, 1].
    """
    py, px = ((p / size).remainder(1) * 6.28318530718 - 250 for p in places(image))
    iy, ix = (p.expand(image.shape[-2:]) for p in (py, px))
    total = torch.ones(image.shape[-2:], dtype=widest_float(image.device), device=image.device)
    for n in range(5):
        t = time * (1 - 3.5 / (n + 1))
        iy, ix = (
            py + torch.cos(t - iy) + torch.sin(t + ix),
            px + torch.sin(t - ix) + torch.cos(t + iy),
        )
        total = total + 1 / torch.hypot(py * 0.005 / torch.sin(iy + t), px * 0.005 / torch.cos(ix + t))
    bright = (1.17 - (total / 5) ** 1.4).abs().pow(8).clamp(0, 1)
    return torch.from_numpy(gaussian_filter(bright.cpu().numpy(), 1)).to(image.device)


def refract(image: Tensor, surface: Tensor, lens: float, light: float) -> Tensor:
    """See an image through a surface of water: places move by Snell's law, slopes towards the light brighten.

    Args:
        image: float64 `[C, H, W]` in [0, 1].
        surface: height, float64 `[H, W]`.
        lens: pixels that a full refraction moves.
        light: brightness of a slope of 1.

    Returns:
        The same shape, in [0, 1].
    """
    padded = F.pad(surface, (1, 1, 1, 1))
    slope_down, slope_across = padded[2:, 1:-1] - padded[:-2, 1:-1], padded[1:-1, 2:] - padded[1:-1, :-2]
    norm = torch.sqrt(slope_down**2 + slope_across**2 + 1)
    cosine = 1 / norm
    angle = torch.arccos(cosine)
    bent = angle - torch.arcsin(torch.sin(angle) / DENSITY)
    share = torch.where(cosine < 1 - 1e-3, torch.sin(bent) / torch.sin(angle).clamp(min=1e-9), 0) / norm * lens
    rows, columns = places(image)
    move_down, move_across = ((share * slope * 1e3).round() / 1e3 for slope in (slope_down, slope_across))
    bent = sample_bilinear(image, rows + move_down, columns + move_across)
    return (bent + (slope_down - slope_across) * light).clamp(0, 1)


@register("caustic_refraction", reference=REFERENCE, group="c-bar")
class CausticRefraction(PatternCorruption):
    """See the image through rippled water, with its light and shadow."""

    strengths = severities(imagenet=(2.35, 3.2, 4.9, 6.6, 9.15))

    @override
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        # a lens of v / 20 of the side, light v / 5
        time, n = float(draw(rng, "time", low=0.5, high=2)), side(image)
        surface = caustics(image, time, float(draw(rng, "size", low=0.75, high=1.25)) * n)
        return refract(image, surface, v / 20 * n, v / 5)
