"""Plasma noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar._pattern import (
    REFERENCE,
    PatternCorruption,
    draw,
    in_channels,
    places,
    severities,
    side,
)


def plasma_colours(image: Tensor, time: float, iterations: int, sharpness: float, scale: float) -> Tensor:
    """Colours of a place that is bent again and again by sines of ever higher frequency.

    Args:
        image: gives the size.
        time: in radians.
        iterations: number of bends.
        sharpness: in [0, 1]; the higher, the stronger are the fine bends.
        scale: pixels of a unit of the coarsest bend.

    Returns:
        Float64 `[3, H, W]` in [-1, 1].
    """
    rows, columns = places(image)
    x, y = (t.expand(image.shape[-2:]) / scale for t in (columns, rows))
    frequency, slow, strength, shift = 1.0, 1.0, 1.0, 0.0
    for _ in range(iterations):
        across = torch.cos(y * frequency - shift + time / slow) / strength
        down = torch.sin(x * frequency - shift + time / slow) / strength
        x, y = x + across - 0.3 * down, y + down + 0.3 * across
        frequency, slow, strength, shift = (
            frequency * 1.93,
            slow * 1.15,
            strength * (2.25 - sharpness),
            shift * time * slow,
        )
    middle = torch.sin((x + y + math.sin(time)) * 0.5)
    return torch.stack([torch.sin(x - time), middle, torch.sin(y + time)])


@register("plasma_noise", reference=REFERENCE, group="c-bar")
class PlasmaNoise(PatternCorruption):
    """Blend in clouds of saturated colours."""

    strengths = severities(imagenet=(4.75, 7, 8.5, 9.25, 10))

    @override
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        # (1 - I) x + I noise with I = 6.4 v levels
        colours = plasma_colours(
            image,
            time=float(draw(rng, "time", high=6 * math.pi)),
            iterations=4 + int(draw(rng, "iterations", high=3)),
            sharpness=float(draw(rng, "sharpness", low=0.5, high=1)),
            scale=float(draw(rng, "scale", low=0.075, high=0.2)) * side(image),
        )
        intensity = 6.4 * v / 255
        return image * (1 - intensity) + in_channels(colours, len(image)) * intensity
