"""Perlin noise."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar._pattern import REFERENCE, PatternCorruption, draw, places, severities, side


def gradient_noise(y: Tensor, x: Tensor, order: Tensor, gradients: Tensor) -> Tensor:
    """Perlin's gradient noise, 1985: at whole numbers 0, between them slopes blended by `t^2 (3 - 2 t)`, times 1.5.

    Args:
        y: float64 `[H, 1]`.
        x: float64 `[1, W]`.
        order: int64 `[256]`, a permutation of 0 to 255, which picks a gradient for a place of the lattice.
        gradients: float64 `[256, 2]`, of length 1.

    Returns:
        `[H, W]`.
    """
    top, left = y.floor(), x.floor()
    dy, dx = y - top, x - left

    def slope(down: int, right: int) -> Tensor:
        row = order[(top.long() + down) % 256]
        chosen = gradients[order[(row + left.long() + right) % 256]]
        return (dy - down) * chosen[..., 0] + (dx - right) * chosen[..., 1]

    sy, sx = dy**2 * (3 - 2 * dy), dx**2 * (3 - 2 * dx)
    upper, lower = (slope(row, 0).lerp(slope(row, 1), sx.expand(len(y), -1)) for row in (0, 1))
    return 1.5 * upper.lerp(lower, sy.expand(-1, x.shape[1]))


def turbulence(y: Tensor, x: Tensor, order: Tensor, gradients: Tensor, octaves: int) -> Tensor:
    """The sum of `|noise(f y, f x)| / f` over f = 1, 2, 4, ... up to a largest; see `gradient_noise`."""
    total = torch.zeros(len(y), x.shape[1], dtype=y.dtype, device=y.device)
    f = 1
    while f <= octaves:
        total += gradient_noise(y * f, x * f, order, gradients).abs() / f
        f *= 2
    return total


@register("perlin_noise", reference=REFERENCE, group="c-bar")
class PerlinNoise(PatternCorruption):
    """Blend in grey clouds of Perlin's turbulence."""

    strengths = severities(imagenet=(4.6, 5.2, 5.8, 7.6, 8.8))

    @override
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        # (1 - a) x + a clip(T / 2 + 1/2) with a = v / 20 and T the turbulence of 5 octaves, 7 cells a side
        order = draw(rng, "order", 256).argsort(stable=True).to(image.device)
        gradients = draw(rng, "gradients", 256, 2, low=-1, high=1).to(image.device)
        gradients = gradients / gradients.norm(dim=1, keepdim=True).clamp(min=1e-9)
        rows, columns = places(image)
        cell = 32 * side(image) / 224
        clouds = (turbulence(rows / cell, columns / cell, order, gradients, 16) * 0.5 + 0.5).clamp(0, 1)
        return torch.lerp(image, clouds.expand_as(image), v / 20)
