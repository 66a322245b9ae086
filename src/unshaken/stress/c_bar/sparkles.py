"""Sparkles."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar._pattern import REFERENCE, PatternCorruption, draw, severities, side
from unshaken.stress.c_bar._rays import star

STARS = 5


@register("sparkles", reference=REFERENCE, group="c-bar")
class Sparkles(PatternCorruption):
    """Add five white stars."""

    strengths = severities(imagenet=(1, 2, 3, 5, 6), cifar=(0.7, 3.5, 5.6, 6.3, 7))

    @override
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        """See `star`: 50 to 199 rays of a mean length of `v / 100` of the side, at least one pixel."""
        radius = v / 100 * side(image)
        rays = rng.fold("rays").integers(50, 200, STARS)[0].tolist()
        spread = widen(rng.fold("lengths").normal(STARS, 199)[0])
        for i, (down, right) in enumerate(draw(rng, "centres", STARS, 2).tolist()):
            lengths = (radius + 0.25 * radius * spread[i, : rays[i]]).clamp(min=1).to(image.device)
            centre = down * image.shape[1], right * image.shape[2]
            image = image + (1 - image) * star(image, centre, lengths, 1.0)
        return image
