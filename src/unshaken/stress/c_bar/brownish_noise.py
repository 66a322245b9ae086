"""Brownish noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen, widest_float
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar._pattern import REFERENCE, PatternCorruption, severities


def spectral_noise(phases: Tensor, power: Callable[[Tensor], Tensor]) -> Tensor:
    """The real part of the inverse Fourier transform of amplitudes with random phases, scaled to a deviation of 1.

    Frequencies are counted from the middle of the spectrum, and the phases of its left half are used again, turned by
    half a circle, for its right half, as in the published code (which so pairs each frequency with the one beside its
    opposite).

    Args:
        phases: radians, float64 `[H, W]`, laid out by `draw_phases`.
        power: amplitude by radius, in periods over the short side.

    Returns:
        Float64 `[H, W]`.
    """
    height, width = phases.shape
    n = min(height, width)
    down, across = (
        (torch.arange(size, dtype=widest_float(phases.device), device=phases.device) - size / 2) * (n / size)
        for size in (height, width)
    )
    amplitude = power(torch.hypot(down[:, None], across[None]))
    spectrum = torch.polar(amplitude, phases).roll((height // 2, width // 2), (0, 1))
    noise: Tensor = torch.fft.ifft2(spectrum).real
    return noise / noise.std(correction=0)


def draw_phases(rng: SampleRng, height: int, width: int) -> Tensor:
    """Phases for `spectral_noise`, float64 `[H, W]` in [0, 2 pi): the right half is the left, turned by 180 degrees."""
    half = widen(rng.fold("phases").uniform(height, width // 2)[0]) * (2 * math.pi)
    if width % 2 == 0:
        return mirrored_phases(half)
    return mirrored_phases(half, widen(rng.fold("middle").uniform(height // 2)[0]) * (2 * math.pi))


def mirrored_phases(half: Tensor, middle: Tensor | None = None) -> Tensor:
    """The whole from the left half `[H, W // 2]` and, where W is odd, the upper half of the middle column."""
    parts = [half, half.flip(0, 1)]
    if middle is not None:
        zero = half.new_zeros(len(half) % 2)
        parts.insert(1, torch.cat([middle, zero, middle.flip(0)])[:, None])
    return torch.cat(parts, 1)


def brown(radius: Tensor) -> Tensor:
    """Amplitude `1 / (r^2 + 1)`: coarse blotches."""
    return 1 / (radius**2 + 1)


@register("brownish_noise", reference=REFERENCE, group="c-bar")
class BrownishNoise(PatternCorruption):
    """Add noise of low frequencies, each channel its own."""

    strengths = severities(imagenet=(1, 2, 3, 4, 5), cifar=(2.5, 4, 5.5, 6.5, 7))

    @override
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        drawn = [draw_phases(rng.fold(channel), *image.shape[1:]) for channel in range(len(image))]
        noise = torch.stack([spectral_noise(phases.to(image.device), brown) for phases in drawn])
        return image + noise * (6.4 * v / 255)
