"""Training at a temperature: the loss sees `softmax(z / T)`."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.recipe import Recipe, Setup, Step
from unshaken.harden.recipes.losses._teacher import refuse_probabilities


def soft_cross_entropy(logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """`CE(q, softmax(z / T))`, the mean over the batch; its gradient by z is `(softmax(z / T) - q) / T`, over N.

    Args:
        logits: z `[N, K]`.
        targets: q, int64 `[N]` or class probabilities `[N, K]`.
        temperature: T, above 0.

    Source: Papernot et al. 2016, arXiv:1511.04508.
    """
    return F.cross_entropy(logits / temperature, targets)


class AtTemperature(Recipe):
    """A recipe whose loss sees `softmax(z / T)`; deployed is the network as it is, at T = 1."""

    takes: ClassVar[frozenset[str]] = frozenset({"loss"})

    temperature: PositiveFloat = Field(default=40.0, description="T by which logits are divided in training, 1 to 100")
    power: NonNegativeFloat = Field(
        default=1.0,
        description="the loss is multiplied by T to this power, 0 to 2; at 0, as published, scale lr instead",
    )

    @override
    def begin(self, setup: Setup) -> None:
        refuse_probabilities(setup.model, setup.images, "the model to be trained")

    def scaled(self, logits: Tensor, targets: Tensor) -> Tensor:
        """`T^power CE(q, softmax(z / T))`."""
        weight: float = self.temperature**self.power
        return weight * soft_cross_entropy(logits, targets, self.temperature)


@register("temperature", reference="Papernot et al. 2016, arXiv:1511.04508")
class Temperature(AtTemperature):
    """Temperature training: cross-entropy of `softmax(z / T)`, which makes the logits about T times as large.

    At T = 1, where the network is used, its softmax saturates: the gradient of the cross-entropy rounds to zero, and
    attacks that follow it fail. That is no robustness. Teachers of `distillation` are trained so.

    The gradient by the logits is T times smaller than in ordinary training (T^2 times where predictions are nearly
    even). The loss is multiplied by T, unless `power` says otherwise, so that a usual learning rate serves.
    """

    @override
    def loss(self, step: Step) -> Tensor:
        wanted = step.labels if step.targets is None else step.targets
        return self.scaled(step.model(step.shown), wanted)
