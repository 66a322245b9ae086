"""Brownish noise."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar._pattern import REFERENCE, PatternCorruption, severities
from unshaken.stress.c_bar._spectrum import draw_phases, spectral_noise


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
