"""Ripples."""

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
    places,
    sample_bilinear,
    severities,
    side,
)


def ripple(image: Tensor, amplitude: float, wavelengths: Tensor, phases: Tensor) -> Tensor:
    """Move each row down and each column across by a sine of its place: `p + a sin(2 pi p / l + phase)`.

    Args:
        image: float64 `[C, H, W]` in [0, 1].
        amplitude: a in pixels.
        wavelengths: l in pixels, down and across.
        phases: in radians, down and across.

    Returns:
        The same shape; black enters from outside.
    """
    rows, columns = (
        p + amplitude * torch.sin(2 * math.pi * p / length + phase)
        for p, length, phase in zip(places(image), wavelengths, phases, strict=True)
    )
    return sample_bilinear(image, rows.expand(image.shape[1:]), columns.expand(image.shape[1:]))


@register("ripple", reference=REFERENCE, group="c-bar")
class Ripple(PatternCorruption):
    """Shift rows and columns by sine waves."""

    strengths = severities(cifar=(5.5, 6, 6.5, 7.5, 8))

    @override
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        # amplitude v / 400 of the side, wavelengths 0.1 to 0.3 of it
        n = side(image)
        wavelengths = draw(rng, "wavelengths", 2, low=0.1 * n, high=0.3 * n)
        phases = draw(rng, "phases", 2, high=2 * math.pi)
        return ripple(image, v / 400 * n, wavelengths.to(image.device), phases.to(image.device))
