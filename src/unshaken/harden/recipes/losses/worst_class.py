"""Worst-class reweighing: after each epoch the classes with more robust error count more."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import predict
from unshaken.core.device import widen, widest_float
from unshaken.core.registry import register
from unshaken.harden.engine.recipe import Epoch, Recipe, Setup, Step
from unshaken.harden.recipes.losses.class_balanced import begin_counts, class_shares, weigh


def hedge(weights: Tensor, errors: Tensor, eta: float) -> Tensor:
    """Exponentiated gradient: `q_k <- q_k exp(eta e_k)`, of sum 1.

    Args:
        weights: q `[K]`, of sum 1.
        errors: e `[K]` in [0, 1].
        eta: step.

    >>> hedge(torch.tensor([0.5, 0.5]), torch.tensor([0.0, 1.0]), 1.0)
    tensor([0.2689, 0.7311])
    """
    return torch.softmax(weights.log() + eta * errors, 0)


@register("worst-class", reference="after Li & Liu 2023, arXiv:2302.04025, and Sagawa et al. 2020, arXiv:1911.08731")
class WorstClass(Recipe):
    """Worst-class training: raises the weight of the classes with the highest error after each epoch.

    It starts with all classes alike (`class-balanced` at eta = 0). The error is measured in evaluation mode on the
    images as they are learned from, so beside an adversarial recipe it is the robust training error; this costs a
    forward pass a step. Held-out errors, which the first source has, are not at hand for a recipe.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"targets"})

    eta: NonNegativeFloat = Field(default=1.0, description="step of the class weights after each epoch")
    floor: float = Field(
        default=0.0, ge=0, lt=1, description="share of the weight that stays spread evenly over the classes"
    )

    @override
    def begin(self, setup: Setup) -> None:
        begin_counts(setup)
        counts = setup.memory["counts"]
        setup.memory["q"] = torch.full_like(counts, 1 / setup.classes)
        setup.memory["errors"] = torch.zeros(2, setup.classes, dtype=widest_float(counts.device), device=counts.device)

    @override
    def augment(self, step: Step) -> None:
        memory = step.memory[self.info.name]
        shares = class_shares(step, memory)
        q = (1 - self.floor) * memory["q"] + self.floor / step.classes
        weigh(step, q.to(shares) / shares)

    @override
    def after_step(self, step: Step) -> None:
        wrong = predict(step.inner.logits(step.shown)) != step.labels
        tallies = [widen(torch.bincount(y, minlength=step.classes)) for y in (step.labels[wrong], step.labels)]
        counted = [torch.stack(tallies)]
        step.average(counted)
        memory = step.memory[self.info.name]
        memory["errors"] = memory["errors"].to(counted[0]) + counted[0]

    @override
    def after_epoch(self, epoch: Epoch) -> None:
        wrong, total = epoch.memory["errors"]
        errors = wrong / total.clamp(min=1)
        epoch.memory["q"] = hedge(epoch.memory["q"].to(errors), errors, self.eta)
        epoch.memory["errors"] = torch.zeros_like(epoch.memory["errors"])
        epoch.figures["worst_class_error"] = float(errors.max())
        epoch.figures["worst_class_weight"] = float(epoch.memory["q"].max())
