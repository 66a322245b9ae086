"""Gradient: how much the score changes with each pixel."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.explain.engine.gradients import SingleGradient


@register("gradient", reference="Simonyan et al. 2014, arXiv:1312.6034")
class Gradient(SingleGradient):
    """Gradient: the size of the score's gradient at each pixel (saliency)."""

    @override
    def values(self, images: Tensor, gradient: Tensor) -> Tensor:
        """`d z_c / d x`."""
        return gradient
