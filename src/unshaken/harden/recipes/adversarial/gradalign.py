"""GradAlign: input gradients that point the same way at a point and at its noisy neighbour."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.recipe import Recipe, Step, Threat, frozen_statistics


def gradalign_weight(eps: float) -> float:
    """The authors' weight of the penalty for a radius: .2 at 8/255, tenfold every 8/255 more.

    >>> [round(gradalign_weight(k / 255), 4) for k in (1, 8, 16)]
    [0.0267, 0.2, 2.0]
    """
    return math.exp(eps * 255 * math.log(10) / 8 + math.log(0.02))


def misalignment(first: Tensor, second: Tensor) -> Tensor:
    """`1 - cos(g, g')`, the mean over samples.

    Args:
        first: gradients `[N, ...]`.
        second: as `first`.
    """
    return 1 - F.cosine_similarity(first.flatten(1), second.flatten(1), dim=1).mean()


@register("gradalign", reference="Andriushchenko & Flammarion 2020, arXiv:2007.02617")
class GradAlign(Recipe):
    """GradAlign: aligns input gradients at x and at a random point nearby, to keep single-step training stable.

    It needs the gradient of a gradient: about four passes a step.
    """

    eps: float = Field(default=8 / 255, description="half-width of the noise, the radius trained against", gt=0)
    weight: NonNegativeFloat | None = Field(default=None, description="lambda; default the authors' for eps")

    @property
    @override
    def budgets(self) -> tuple[Threat, ...]:
        return (Threat("linf", self.eps),)

    @override
    def penalty(self, step: Step) -> Tensor:
        eta = step.rng.fold("gradalign").uniform(*step.images.shape[1:], low=-self.eps, high=self.eps)
        with frozen_statistics(step.classifier):
            here = _slope(step, step.images)
            there = _slope(step, step.images + eta.to(step.images))
        found = misalignment(here, there)
        step.figures["alignment"] = 1 - float(found.detach())
        return (gradalign_weight(self.eps) if self.weight is None else self.weight) * found


def _slope(step: Step, images: Tensor) -> Tensor:
    points = images.detach().requires_grad_()
    (slope,) = torch.autograd.grad(step.cross_entropy(step.model(points)), points, create_graph=True)
    return slope
