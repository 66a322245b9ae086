"""Motion blur."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Corruption, Severities


def motion_blur(images: Tensor, radius: int, sigma: float, angles: Tensor) -> Tensor:
    """Sum copies displaced along a line, the farther the fainter; beyond the border the nearest pixel counts.

    Args:
        images: float32 `[N, C, H, W]`.
        radius: the line is `2 radius + 1` pixels long and starts at the pixel itself.
        sigma: standard deviation in pixels of the one-sided Gaussian of weights.
        angles: direction in degrees `[N]`: 0 reads to the right, 90 down.

    Returns:
        The same shape.
    """
    height, width = images.shape[2:]
    result = torch.empty_like(images)
    lines: dict[tuple[tuple[tuple[int, int], float], ...], list[int]] = {}
    for i, angle in enumerate(angles.tolist()):
        lines.setdefault(tuple(motion_taps(radius, sigma, angle).items()), []).append(i)
    for taps, rows in lines.items():  # on a grid of pixels many angles are the same line
        down, right = zip(*(place for place, _ in taps), strict=True)
        up, left = -min(down), -min(right)
        own = images[rows] if rows[1:] else images[rows[0] : rows[0] + 1]
        padded = F.pad(own, (left, max(right), up, max(down)), mode="replicate")
        total = torch.zeros_like(own)
        for (dy, dx), weight in taps:
            total.add_(padded[:, :, up + dy : up + dy + height, left + dx : left + dx + width], alpha=weight)
        result[rows] = total
    return result


def motion_taps(radius: int, sigma: float, angle: float) -> dict[tuple[int, int], float]:
    """Weights of sum 1 by displacement (down, right) in pixels.

    Args:
        radius: the line has `2 radius + 1` taps.
        sigma: weights are `exp(-i^2 / (2 sigma^2))` for the i-th tap.
        angle: in degrees.
    """
    count = 2 * radius + 1
    weights = [math.exp(-(i**2) / (2 * sigma**2)) for i in range(count)]
    total = math.fsum(weights)
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    taps: dict[tuple[int, int], float] = {}
    for i, weight in enumerate(weights):
        place = math.ceil(i * sine - 0.5), math.ceil(i * cosine - 0.5)
        taps[place] = taps.get(place, 0.0) + weight / total
    return taps


@register("motion_blur", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="blur")
class MotionBlur(Corruption):
    """Blur as by a moving camera, at a random angle of -45 to 45 degrees."""

    strengths = Severities(
        imagenet=((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        cifar=((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        tiny=((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
    )

    @override
    def corrupt(self, images: Tensor, c: tuple[int, float], rng: SampleRng) -> Tensor:
        return motion_blur(images, *c, rng.uniform(low=-45, high=45))
