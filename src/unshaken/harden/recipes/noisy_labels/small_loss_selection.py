"""Small-loss selection: one network learns from the samples of a batch that it fits best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.recipe import FirstTry, Recipe, Step
from unshaken.labels.losses import forget_rate, smallest


@register("small-loss-selection", reference="Shen & Sanghavi 2019, arXiv:1810.11874", group="noisy-labels")
class SmallLossSelection(Recipe):
    """Small-loss selection: learn only from the samples of each batch with the smallest losses.

    A network that selects for itself repeats its own mistakes; `co-teaching` has two that select for each other.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss"})
    refuses: ClassVar[Mapping[str, str]] = {"targets": "it compares losses of the given labels; leave one out"}
    first_try: ClassVar[FirstTry] = FirstTry(parameters={"noise_rate": 0.2})

    noise_rate: float = Field(
        ge=0, lt=1, description="tau: share of wrong labels, known or estimated by 'unshaken labels find'"
    )
    ramp: PositiveInt = Field(default=10, description="epochs in which the share that is left out rises to noise_rate")

    @override
    def loss(self, step: Step) -> Tensor:
        losses = F.cross_entropy(step.model(step.shown).float(), step.labels, reduction="none")
        return losses[smallest(losses.detach(), forget_rate(step.epoch, self.noise_rate, self.ramp))].mean()
