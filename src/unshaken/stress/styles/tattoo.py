"""Tattoo: dark lines of low contrast on skin."""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.engine.filters import luma
from unshaken.stress.styles._style import REFERENCE, Style, between, coloured
from unshaken.stress.styles.sketch import dark_lines

LIGHT, DARK = (0.95, 0.80, 0.70), (0.42, 0.28, 0.20)
"""Tones of skin between which one is drawn."""


@register("tattoo", reference=REFERENCE, group="style")
class Tattoo(Style):
    """Tattoo: lines and soft shade in ink, multiplied on skin of a drawn tone that is lit from one side."""

    ink: float = Field(default=0.6, description="share of light that a full line takes away", gt=0, le=1)

    @override
    def render(self, images: Tensor, rng: SampleRng) -> Tensor:
        # skin (1 - ink (0.8 lines + 0.3 (1 - grey))), blurred as ink in skin is
        height, width = images.shape[2:]
        blur = max(0.5, min(height, width) / 120)
        lines = gaussian_blur(dark_lines(images).to(images), blur)
        shade = 1 - gaussian_blur(luma(images), 2 * blur)
        marks = (0.8 * lines + 0.3 * shade).clamp(max=1)
        tone = coloured(between(LIGHT, DARK, rng.fold("tone").uniform(1)[:, 0].to(images)), images.shape[1])
        angle = rng.fold("light").uniform(1, high=2 * math.pi)[:, 0].to(images)[:, None, None, None]
        rows = torch.linspace(-1, 1, height, device=images.device)[:, None]
        columns = torch.linspace(-1, 1, width, device=images.device)
        light = 1 + 0.12 * (angle.sin() * rows + angle.cos() * columns)
        return tone * light * (1 - self.ink * marks)
