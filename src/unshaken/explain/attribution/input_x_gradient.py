"""Input x gradient: the gradient times the pixel."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.explain.engine.gradients import Channels, SingleGradient


@register("input-x-gradient", reference="Shrikumar et al. 2017, arXiv:1605.01713")
class InputXGradient(SingleGradient):
    """Input x gradient: each pixel's share of the score, as if the score were linear."""

    channels: Channels = Field(default="sum", description="how channels become one value: mean-abs, max-abs or sum")

    @override
    def values(self, images: Tensor, gradient: Tensor) -> Tensor:
        """`x * d z_c / d x`, with pixels in [0, 1]."""
        return images * gradient
