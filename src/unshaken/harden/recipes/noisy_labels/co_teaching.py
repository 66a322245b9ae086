"""Co-teaching: two networks, each of which learns from what the other fits best."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.ensemble import alike
from unshaken.harden.engine.recipe import FirstTry, Step
from unshaken.harden.recipes.noisy_labels._two_networks import TwoNetworks
from unshaken.labels.losses import forget_rate, smallest


@register("co-teaching", reference="Han et al. 2018, arXiv:1804.06872", group="noisy-labels")
class CoTeaching(TwoNetworks):
    """Co-teaching: each of two networks learns from the samples with the smallest losses of the other.

    Published with Adam at 1e-3, 200 epochs, the rate of learning falling to 0 from epoch 80.
    """

    first_try: ClassVar[FirstTry] = FirstTry(parameters={"noise_rate": 0.2})

    noise_rate: float = Field(
        ge=0, lt=1, description="tau: share of wrong labels, known or estimated by 'unshaken labels find'"
    )
    ramp: PositiveInt = Field(default=10, description="epochs in which the share that is left out rises to noise_rate")

    @override
    def loss(self, step: Step) -> Tensor:
        logits = alike(step, step.shown).float()
        losses = torch.stack([F.cross_entropy(z, step.labels, reduction="none") for z in logits])
        chosen = smallest(losses.detach(), forget_rate(step.epoch, self.noise_rate, self.ramp))
        return losses.gather(1, chosen.flip(0)).mean(1).sum()
