"""Proximal penalty: fine-tuning that stays near the weights it started from."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.recipe import CLASSES, MASKS, UNLABELLED, Recipe, Setup, Step


@register("proximal", reference="Li et al. 2018, arXiv:1802.01483")
class Proximal(Recipe):
    """L2-SP: penalises the distance to the initial weights, `mu / 2 |w - w_0|^2`."""

    learns_from: ClassVar[frozenset[str]] = frozenset({CLASSES, MASKS, UNLABELLED})

    mu: NonNegativeFloat = Field(default=0.01, description="weight of the penalty")

    @override
    def begin(self, setup: Setup) -> None:
        there = setup.model.net.named_parameters()
        setup.memory.update({name: p.detach().clone() for name, p in there if p.requires_grad})

    @override
    def penalty(self, step: Step) -> Tensor:
        start = step.memory[self.info.name]
        live = dict(step.classifier.net.named_parameters())
        gaps = torch._foreach_sub([live[name] for name in start], list(start.values()))
        return self.mu / 2 * torch.stack([(gap * gap).sum() for gap in gaps]).sum()
