"""Weather: snow, rain or fog, drawn for each sample."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.fog import Fog
from unshaken.stress.corruptions.snow import Snow
from unshaken.stress.engine.base import Stressor, to_8_bit
from unshaken.stress.styles._style import REFERENCE

KINDS = ("snow", "fog", "rain")


def rain(images: Tensor, drops: Tensor, angles: Tensor, strength: float) -> Tensor:
    """Darken an image and draw bright streaks.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        drops: uniform draws `[N, H, W]`; a streak begins where one is below 0.02 times the strength.
        angles: of the streaks from upright, in radians, `[N]`.
        strength: in [0, 1].

    Returns:
        The same shape, in [0, 1].
    """
    length = max(3, min(40, round(min(images.shape[2:]) / 8)))
    starts = (drops < 0.02 * strength).to(images)
    streaks = torch.zeros_like(starts)
    for one, start, angle in zip(streaks, starts, angles.tolist(), strict=True):
        for step in range(length):
            shifted = start.roll((step, round(step * math.tan(angle))), (0, 1))
            torch.maximum(one, shifted * (1 - step / length), out=one)
    dark = images * (1 - 0.35 * strength)
    return torch.lerp(dark, torch.full_like(images, 0.9), 0.7 * strength**0.5 * streaks[:, None])


@register("weather", reference=REFERENCE, group="style")
class Weather(Stressor):
    """Weather: snow or fog of the common corruptions at the severity, or streaks of rain, one of the three a sample."""

    @override
    def run(self, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        kind = rng.fold("kind").integers(0, len(KINDS), 1)[:, 0].to(images.device)
        changed = images.clone()
        for number, name in enumerate(KINDS):
            rows = (kind == number).nonzero().flatten()
            if len(rows):
                own = rng[rows.to(rng.keys.device)].fold(name)
                changed[rows] = self._one(name, images[rows], severity, own)
        return changed

    def _one(self, name: str, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        if name == "rain":
            drops = rng.fold("drops").uniform(*images.shape[2:]).to(images)
            angles = rng.fold("angle").uniform(1, low=-0.35, high=0.35)[:, 0]
            return to_8_bit(rain(images, drops, angles, severity / 5))
        return (Snow() if name == "snow" else Fog()).run(images, severity, rng)
