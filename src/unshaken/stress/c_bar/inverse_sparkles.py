"""Inverse sparkles."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar._pattern import REFERENCE, PatternCorruption, draw, severities, side
from unshaken.stress.c_bar.sparkles import star


@register("inverse_sparkles", reference=REFERENCE, group="c-bar")
class InverseSparkles(PatternCorruption):
    """Whiten the image outside one large star."""

    strengths = severities(imagenet=(1, 2, 4, 9, 10), cifar=(1, 1.5, 2.5, 4.5, 5))

    @override
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        radius = 0.25 * side(image)
        rays = int(rng.fold("rays").integers(50, 200)[0])
        lengths = radius + 0.25 * radius * widen(rng.fold("lengths").normal(199)[0, :rays])
        down, right = draw(rng, "centre", 2, low=0.25, high=0.75).tolist()
        centre = down * image.shape[1], right * image.shape[2]
        return 1 + (image - 1) * star(image, centre, lengths.to(image.device), 0.13 * v)
