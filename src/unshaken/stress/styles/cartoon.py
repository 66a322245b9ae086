"""Cartoon: few levels of smooth colour, with dark outlines."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.styles._style import REFERENCE, Style
from unshaken.stress.styles.sketch import dark_lines


@register("cartoon", reference=REFERENCE, group="style")
class Cartoon(Style):
    """Cartoon: smooth, cut each channel to a few levels, and darken lines."""

    levels: int = Field(default=4, description="levels of each channel", ge=2, le=64)

    @override
    def render(self, images: Tensor, rng: SampleRng) -> Tensor:
        smooth = gaussian_blur(images, max(0.5, min(images.shape[2:]) / 80))
        flat = (smooth * (self.levels - 1)).round() / (self.levels - 1)
        return torch.where(dark_lines(images, 0.03), flat * 0.1, flat)
