"""Sparkles."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar._pattern import REFERENCE, PatternCorruption, draw, places, severities, side


def star(image: Tensor, centre: tuple[float, float], lengths: Tensor, exponent: float) -> Tensor:
    """How bright a star is: `clip((1 - (f - 1/2)^2) (L^2 / (r^2 + 1e-4))^exponent)`.

    r is the distance from the centre, L the length between the two nearest rays and f the place between them, from 0
    to 1.

    Args:
        image: gives the size.
        centre: row and column.
        lengths: of the rays in pixels `[R]`, evenly around.
        exponent: the higher, the sharper is the edge.

    Returns:
        Float64 `[H, W]` in [0, 1].
    """
    rows, columns = places(image)
    dy, dx = rows - centre[0], columns - centre[1]
    turn = (torch.atan2(dx, dy) + math.pi) / (2 * math.pi) * len(lengths)
    ray = turn.floor()
    f = turn - ray
    first, second = (lengths[(ray.long() + step) % len(lengths)] for step in (0, 1))
    reach = first + f * (second - first)
    glow = (reach**2 / (dy**2 + dx**2 + 1e-4)) ** exponent
    return ((1 - (f - 0.5) ** 2) * glow).clamp(0, 1)


STARS = 5


@register("sparkles", reference=REFERENCE, group="c-bar")
class Sparkles(PatternCorruption):
    """Add five white stars."""

    strengths = severities(imagenet=(1, 2, 3, 5, 6), cifar=(0.7, 3.5, 5.6, 6.3, 7))

    @override
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        # 50 to 199 rays of a mean length of v / 100 of the side, at least one pixel
        radius = v / 100 * side(image)
        rays = rng.fold("rays").integers(50, 200, STARS)[0].tolist()
        spread = widen(rng.fold("lengths").normal(STARS, 199)[0])
        for i, (down, right) in enumerate(draw(rng, "centres", STARS, 2).tolist()):
            lengths = (radius + 0.25 * radius * spread[i, : rays[i]]).clamp(min=1).to(image.device)
            centre = down * image.shape[1], right * image.shape[2]
            image = image + (1 - image) * star(image, centre, lengths, 1.0)
        return image
