"""Sampling by blue noise."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar._pattern import REFERENCE, PatternCorruption, severities
from unshaken.stress.c_bar.brownish_noise import draw_phases, spectral_noise


def blue(radius: Tensor) -> Tensor:
    """Amplitude r: points that keep apart."""
    return radius


@register("blue_noise_sample", reference=REFERENCE, group="c-bar")
class BlueNoiseSample(PatternCorruption):
    """Keep evenly scattered pixels and blacken the others."""

    strengths = severities(imagenet=(0.8, 1.6, 2.4, 4, 5.6), cifar=(0.7, 1.4, 2.1, 3.5, 4.2))

    @override
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        noise = spectral_noise(draw_phases(rng, *image.shape[1:]).to(image.device), blue)
        return image * (noise > 0.3 * v - 2.5)
