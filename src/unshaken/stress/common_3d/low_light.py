"""Low light."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.common_3d._depth import REFERENCE
from unshaken.stress.corruptions.gaussian_noise import gaussian_noise, unit_normal
from unshaken.stress.corruptions.shot_noise import shot_noise
from unshaken.stress.engine.base import Corruption, Severities

BRIGHTEST = (0.6, 0.5, 0.4, 0.3, 0.2)
PHOTONS, SIGMA = 120, 0.018


def darken(images: Tensor, c: float) -> Tensor:
    """Stretch each image to [0, 1], square it and scale it: `c ((x - min) / (max - min))^2`; a flat image turns black.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        c: the brightest value that is left, in [0, 1].

    Returns:
        The same shape, in [0, c].
    """
    low, high = images.flatten(1).amin(1), images.flatten(1).amax(1)
    spread = (high - low).clamp(min=1e-6).view(-1, 1, 1, 1)
    return ((images - low.view(-1, 1, 1, 1)) / spread).square_().mul_(c)


@register("low_light", reference=REFERENCE, group="3dcc")
class LowLight(Corruption):
    """Darken, with the noise of a sensor that counts few photons."""

    strengths = Severities(imagenet=BRIGHTEST, cifar=BRIGHTEST, tiny=BRIGHTEST)

    @override
    def corrupt(self, images: Tensor, c: float, rng: SampleRng) -> Tensor:
        # clip(Poisson(120 y) / 120) + 0.018 N(0, 1) of y as `darken` gives it
        counted = shot_noise(darken(images, c), PHOTONS, rng.fold("photons")).clamp(0, 1)
        return gaussian_noise(counted, SIGMA, unit_normal(rng.fold("amplifier"), *images.shape[1:]).to(images.device))
