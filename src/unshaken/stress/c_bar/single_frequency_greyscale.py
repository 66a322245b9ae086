"""Noise of a single frequency."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar._pattern import REFERENCE, PatternCorruption, draw, places, severities


def plane_wave(image: Tensor, frequency: Tensor, phase: float) -> Tensor:
    """`sin(f_1 x + f_2 y + phase)` over the pixels of an image: float64 `[H, W]`.

    Args:
        image: gives the size.
        frequency: `(f_1, f_2)`, radians a pixel across and down.
        phase: in radians.
    """
    rows, columns = places(image)
    return torch.sin(columns * frequency[0] + rows * frequency[1] + phase)


@register("single_frequency_greyscale", reference=REFERENCE, group="c-bar")
class SingleFrequencyGreyscale(PatternCorruption):
    """Add one grey plane wave of a random frequency and direction."""

    strengths = severities(imagenet=(1, 1.5, 2, 4.5, 5))

    @override
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        first = draw(rng, "frequency", low=-math.pi, high=math.pi)
        second = draw(rng, "second", low=-1, high=1) * first.abs()
        frequency = torch.stack([first, second] if draw(rng, "order") < 0.5 else [second, first])
        wave = plane_wave(image, frequency, float(draw(rng, "phase", high=2 * math.pi)))
        return image + wave * (19.6 * v / 255)
