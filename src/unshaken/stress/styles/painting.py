"""Painting: strokes of one colour, by Kuwahara's filter."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.gaussian_blur import correlate_along
from unshaken.stress.engine.filters import luma
from unshaken.stress.styles._style import REFERENCE, Style

LARGEST = 12
"""Radius that is chosen for an image at most, in pixels."""


def kuwahara(images: Tensor, radius: int) -> Tensor:
    """Each pixel becomes the mean of that square with the pixel in its corner whose grey varies least.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        radius: the squares have a side of radius + 1 pixels.

    Returns:
        The same shape; of equal squares the first counts: left above, right above, left below, right below.

    Source: Kuwahara et al. 1976, doi:10.1007/978-1-4684-0769-3_13.
    """
    grey = luma(images)
    centred = grey - grey.mean((2, 3), keepdim=True)  # of small numbers the variance is exact enough
    stack = torch.cat([images, centred, centred * centred], 1)
    kernel = [1 / (radius + 1)] * (radius + 1) + [0.0] * radius  # the pixel and those to its left, or above
    padded = F.pad(stack, (0, radius, 0, radius), mode="replicate")
    means = correlate_along(correlate_along(padded, kernel, 2), kernel, 3)
    height, width = images.shape[2:]
    found, least = images, None
    for down in (0, radius):
        for across in (0, radius):
            part = means[:, :, down : down + height, across : across + width]
            spread = (part[:, -1:] - part[:, -2:-1] ** 2).clamp(min=0)
            if least is None:
                found, least = part[:, :-2], spread
                continue
            better = spread < least
            found, least = torch.where(better, part[:, :-2], found), torch.where(better, spread, least)
    return found


@register("painting", reference=REFERENCE, group="style")
class Painting(Style):
    """Painting: strokes of one colour that keep edges, by Kuwahara's filter."""

    radius: NonNegativeInt = Field(
        default=0, description="radius of a stroke in pixels; 0 is 3 in 64 of the short side"
    )

    @override
    def render(self, images: Tensor, rng: SampleRng) -> Tensor:
        side = min(images.shape[2:])
        return kuwahara(images, self.radius or min(LARGEST, max(1, round(3 * side / 64))))
