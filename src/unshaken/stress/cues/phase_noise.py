"""Phase noise: the amplitudes of a picture's waves stay and their places change, so that shape dissolves."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Stressor, to_8_bit

WIDTHS = (30.0, 60.0, 90.0, 120.0, 180.0)
"""Largest turn of a phase in degrees at severities 1 to 5; at the last one no phase is left."""


def turn_phases(images: Tensor, turns: Tensor) -> Tensor:
    """Add to the phases of each image's waves; all channels alike, so that colours stay together.

    Args:
        images: `[N, C, H, W]`.
        turns: radians `[N, H, W // 2 + 1]`, one a wave of `torch.fft.rfft2`; the mean is left as it is.

    Returns:
        The same shape, not clipped.
    """
    turn = torch.polar(torch.ones_like(turns), turns)[:, None]
    turn[:, :, 0, 0] = 1
    parts = [torch.fft.irfft2(torch.fft.rfft2(x) * t, s=x.shape[-2:]) for x, t in zip(images, turn, strict=True)]
    return torch.stack(parts) if parts else images


def exchange_phases(amplitudes: Tensor, phases: Tensor) -> Tensor:
    """Pictures with the amplitudes of some and the phases of others, all `[N, C, H, W]`; not clipped.

    The other picture's amplitudes are a stand-in for its style. The pictures' own means come with the phases.
    """
    parts = []
    for one, other in zip(amplitudes, phases, strict=True):
        size, wave = torch.fft.rfft2(one).abs(), torch.fft.rfft2(other)
        mixed = torch.polar(size, wave.angle())
        mixed[:, 0, 0] = wave[:, 0, 0]
        parts.append(torch.fft.irfft2(mixed, s=other.shape[-2:]))
    return torch.stack(parts) if parts else phases


@register("phase_noise", reference="Geirhos et al. 2018, arXiv:1808.08750", group="cues")
class PhaseNoise(Stressor):
    """Phase noise: turns the phase of each wave of a picture by a random angle of up to 30 to 180 degrees."""

    @override
    def run(self, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        width = math.radians(WIDTHS[severity - 1])
        height, half = images.shape[2], images.shape[3] // 2 + 1
        turns = rng.uniform(height, half, low=-width, high=width)
        return to_8_bit(turn_phases(images.contiguous(), turns.to(images.device)).clamp(0, 1))
