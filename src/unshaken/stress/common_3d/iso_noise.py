"""Noise of a camera's sensor and its amplifier."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.common_3d._depth import REFERENCE
from unshaken.stress.corruptions.gaussian_noise import gaussian_noise, unit_normal
from unshaken.stress.corruptions.shot_noise import shot_noise
from unshaken.stress.engine.base import Corruption, Severities

PHOTONS = 25
SIGMA = tuple(0.7 * sigma for sigma in (0.08, 0.12, 0.18, 0.26, 0.38))


@register("iso_noise", reference=REFERENCE, group="3dcc")
class IsoNoise(Corruption):
    """Count 25 photons at white, then amplify with Gaussian noise: a higher ISO adds to the second alone."""

    strengths = Severities(imagenet=SIGMA, cifar=SIGMA, tiny=SIGMA)

    @override
    def corrupt(self, images: Tensor, c: float, rng: SampleRng) -> Tensor:
        # clip(Poisson(25 x) / 25) + c N(0, 1)
        counted = shot_noise(images, PHOTONS, rng.fold("photons")).clamp(0, 1)
        return gaussian_noise(counted, c, unit_normal(rng.fold("amplifier"), *images.shape[1:]).to(images.device))
