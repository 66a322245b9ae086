"""Defensive distillation: learn the soft answers that a teacher gives at a temperature."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.recipe import Setup, Step
from unshaken.harden.recipes.losses._teacher import TeacherRecipe
from unshaken.harden.recipes.losses.temperature import AtTemperature


def soft_labels(logits: Tensor, temperature: float) -> Tensor:
    """`softmax(z / T)`, `[N, K]`, cut from the graph.

    Args:
        logits: z `[N, K]`.
        temperature: T, above 0.

    >>> import torch
    >>> [round(p, 4) for p in soft_labels(torch.tensor([[10.0, 5.0, 0.0]]), 5).flatten().tolist()]
    [0.6652, 0.2447, 0.09]
    """
    return (logits.detach() / temperature).softmax(1)


@register("distillation", reference="Papernot et al. 2016, arXiv:1511.04508")
class Distillation(TeacherRecipe, AtTemperature):
    """Defensive distillation: trains on a teacher's probabilities at a high temperature T.

    The teacher, trained with `temperature` at the same T, answers each view as it is augmented; labels that were mixed
    are not looked at. It blunts attacks on the cross-entropy and no others: the gradient is hidden, the boundary stays
    where it was. Attack it with `fgsm:temperature=40`, `pgd:loss=margin` or `carlini-wagner` before any figure is
    believed.
    """

    @override
    def begin(self, setup: Setup) -> None:
        AtTemperature.begin(self, setup)
        TeacherRecipe.begin(self, setup)

    @override
    def loss(self, step: Step) -> Tensor:
        return self.scaled(step.model(step.shown), soft_labels(self.taught(step.shown), self.temperature))
