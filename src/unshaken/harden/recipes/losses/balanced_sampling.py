"""Balanced sampling: images of small classes are drawn more often."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.recipe import Memory, Recipe, Setup

WEIGHTS = "weights"


@register("balanced-sampling", reference="Kang et al. 2020, arXiv:1910.09217")
class BalancedSampling(Recipe):
    """Balanced sampling: each class is drawn as often, whatever its number of images.

    Images are drawn with replacement. Beside mixup, where `class-balanced` cannot be: that weighs the labels.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"sampling"})

    power: float = Field(1.0, ge=0, le=1, description="1 draws classes evenly, 0 images, 0.5 by the root of their size")

    @override
    def begin(self, setup: Setup) -> None:
        """Weigh each image by `n_k^-power`, k its label."""
        rows, labels, _ = setup.evaluate(lambda images: images.new_zeros(len(images)))
        weights = torch.zeros(setup.samples, device=setup.images.device)
        counts = torch.bincount(labels, minlength=setup.classes).float()
        weights[rows] = counts[labels] ** -self.power
        setup.memory[WEIGHTS] = weights

    @override
    def sampling(self, memory: Memory) -> Tensor | None:
        return memory[WEIGHTS]
