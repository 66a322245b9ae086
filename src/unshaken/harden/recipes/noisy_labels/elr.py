"""ELR: early-learning regularisation, with a table of each sample's average prediction."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.recipe import Recipe, Setup, Step
from unshaken.harden.recipes.noisy_labels._two_networks import refuse_processes
from unshaken.labels.losses import early_learning, update_targets

TABLE = "targets"
"""Name of the table `[samples, K]` in the recipe's memory."""


@register("elr", reference="Liu et al. 2020, arXiv:2007.00151", group="noisy-labels")
class ELR(Recipe):
    """ELR: keep agreeing with earlier predictions, before wrong labels were memorised.

    The table `[samples, K]` is updated before it is used, and lies in the checkpoint.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss"})

    strength: NonNegativeFloat = Field(
        default=3.0, description="lambda: 3 for symmetric noise in ten classes, 1 for asymmetric, 7 for 100"
    )
    beta: float = Field(default=0.7, ge=0, lt=1, description="decay of the average: 0.7; 0.9 for asymmetric noise")

    @override
    def begin(self, setup: Setup) -> None:
        refuse_processes(self.info.name)
        setup.memory[TABLE] = torch.zeros(setup.samples, setup.classes, device=setup.images.device)

    @override
    def loss(self, step: Step) -> Tensor:
        """`CE(logits, y) + lambda log(1 - <t, p>)`, with the samples' own t."""
        table, rows = step.memory[self.info.name][TABLE], step.rows.to(step.labels.device)
        logits = step.model(step.shown).float()
        targets = update_targets(table[rows], logits.detach(), self.beta)
        table[rows] = targets
        return step.cross_entropy(logits) + self.strength * early_learning(targets, logits).mean()
