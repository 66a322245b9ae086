"""GCE: training by generalised cross-entropy."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.recipe import Recipe, Step
from unshaken.labels.losses import generalized_cross_entropy


@register("gce", reference="Zhang & Sabuncu 2018, arXiv:1805.07836", group="noisy-labels")
class GCE(Recipe):
    """GCE: generalised cross-entropy, which improbable labels pull less."""

    takes: ClassVar[frozenset[str]] = frozenset({"loss"})

    q: float = Field(default=0.7, gt=0, le=1, description="0 is cross-entropy, 1 half the mean absolute error")

    @override
    def loss(self, step: Step) -> Tensor:
        return generalized_cross_entropy(step.model(step.shown), step.soft_labels, self.q).mean()
