"""Sketch: black lines on white, by a difference of Gaussians."""

from __future__ import annotations

from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur
from unshaken.stress.engine.filters import luma
from unshaken.stress.styles._style import REFERENCE, Style


def dark_lines(images: Tensor, threshold: float = 0.015, width: float = 1 / 120, ratio: float = 1.6) -> Tensor:
    """Where the grey is darker than its surroundings: `G(s) x - G(r s) x < -t`.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        threshold: t, in [0, 1] pixel units.
        width: s as a share of the short side, at least 0.5 pixels.
        ratio: r of the two blurs.

    Returns:
        Bool `[N, 1, H, W]`.
    """
    grey, sigma = luma(images), max(0.5, width * min(images.shape[2:]))
    return gaussian_blur(grey, sigma) - gaussian_blur(grey, ratio * sigma) < -threshold


@register("sketch", reference=REFERENCE, group="style")
class Sketch(Style):
    """Sketch: black lines on white where the grey is darker than around; colour and texture go."""

    threshold: PositiveFloat = Field(
        default=0.015, description="difference from which a line is drawn, in [0, 1] pixel units"
    )

    @override
    def render(self, images: Tensor, rng: SampleRng) -> Tensor:
        return (~dark_lines(images, self.threshold)).to(images).expand_as(images)
