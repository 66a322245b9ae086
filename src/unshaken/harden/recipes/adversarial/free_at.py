"""Free adversarial training: one gradient for the weights and for the perturbation."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.ball import steepest
from unshaken.core.registry import register
from unshaken.harden.engine.recipe import AdversarialRecipe, Step


@register("free-at", reference="Shafahi et al. 2019, arXiv:1904.12843")
class FreeAT(AdversarialRecipe):
    """Free adversarial training: each backward pass updates both the weights and the perturbation.

    The perturbation is carried over from batch to batch. Epochs count batches: for the cost of E plain epochs give
    `epochs = E / m`.
    """

    norm: Literal["linf"] = Field(default="linf", description="norm of the perturbation")
    m: PositiveInt = Field(default=8, description="number of times each batch is replayed")

    @property
    @override
    def replays(self) -> int:
        return self.m

    @override
    def inner(self, step: Step) -> Tensor:
        memory = step.memory[self.info.name]
        delta = memory.get("delta")
        if delta is None or delta.shape != step.images.shape:
            delta = memory["delta"] = torch.zeros_like(step.images)
        return (step.images + delta).clamp(0, 1).requires_grad_()

    @override
    def loss(self, step: Step) -> Tensor:
        return step.cross_entropy(step.model(step.shown))

    @override
    def after_step(self, step: Step) -> None:
        """`delta <- clip(delta + eps sign(g), -eps, eps)`, from the gradient that the weights had."""
        slope = step.shown.grad
        if slope is not None:
            memory = step.memory[self.info.name]
            step_up = self.eps * steepest(slope, step.shown.detach(), self.norm)
            memory["delta"] = (memory["delta"] + step_up).clamp(-self.eps, self.eps)  # around whatever image comes next
