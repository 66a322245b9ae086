"""Handmake: things formed by hand of soft material, on a plain table."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.elastic_transform import elastic_transform, smooth
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.cues.silhouette import foreground
from unshaken.stress.styles._style import REFERENCE, Style, between, coloured

PALE, DARK = (0.93, 0.90, 0.84), (0.58, 0.42, 0.28)
"""Colours between which that of a table is drawn: linen and wood."""


@register("handmake", reference=REFERENCE, group="style")
class Handmake(Style):
    """Handmake: bent a little, in a few colours with the grain of felt, the ground painted over as a table.

    The ground is the side of Otsu's threshold that most of the border belongs to, so an object as bright as its
    surroundings sinks into the table. Boxes stay: the bend is small beside them.
    """

    bend: float = Field(
        default=0.015, description="standard deviation of the bend, as a share of the short side", ge=0, le=0.1
    )
    grain: float = Field(
        default=0.08, description="standard deviation of the grain, as a share of the colour", ge=0, le=1
    )
    table: float = Field(default=0.8, description="share of the table's colour in the ground", ge=0, le=1)

    @override
    def render(self, images: Tensor, rng: SampleRng) -> Tensor:
        height, width = images.shape[2:]
        side = min(height, width)
        field = smooth(rng.fold("bend").normal(2, height, width).to(images), side / 10, side / 10)
        field = field / field.std((2, 3), keepdim=True).clamp_min(1e-6) * (self.bend * side)
        bent = elastic_transform(images, field[:, 0], field[:, 1])
        flat = (gaussian_blur(bent, max(0.5, side / 100)) * 4).round() / 4
        grain = 1 + self.grain * rng.fold("grain").normal(1, height, width).to(images)
        felt = (0.1 + 0.85 * flat) * grain
        colour = between(PALE, DARK, rng.fold("table").uniform(1)[:, 0].to(images))
        share = self.table * gaussian_blur(1 - foreground(bent).to(images), max(0.5, side / 120))
        return torch.lerp(felt, coloured(colour, images.shape[1]).expand_as(felt), share)
