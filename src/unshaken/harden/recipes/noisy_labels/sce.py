"""SCE: training by symmetric cross-entropy."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, NonNegativeFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.recipe import Recipe, Step
from unshaken.labels.losses import symmetric_cross_entropy


@register("sce", reference="Wang et al. 2019, arXiv:1908.06112", group="noisy-labels")
class SCE(Recipe):
    """SCE: cross-entropy, and the same with prediction and label changed over."""

    takes: ClassVar[frozenset[str]] = frozenset({"loss"})

    alpha: NonNegativeFloat = Field(default=0.1, description="weight of cross-entropy; 6 for a hundred classes")
    beta: NonNegativeFloat = Field(default=1.0, description="weight of the reverse cross-entropy")

    @override
    def loss(self, step: Step) -> Tensor:
        return symmetric_cross_entropy(step.model(step.shown), step.soft_labels, self.alpha, self.beta).mean()
