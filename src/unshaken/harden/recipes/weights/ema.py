"""EMA: an exponential moving average of the weights, measured and kept in the place of the live ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.recipe import CLASSES, MASKS, UNLABELLED, Memory, Recipe, Setup, Step


def ema_decay(step: int, most: float) -> float:
    """`min(most, (1 + k) / (10 + k))` at the k-th averaged step.

    >>> [round(ema_decay(k, 0.995), 4) for k in (0, 10, 100, 1000)]
    [0.1, 0.55, 0.9182, 0.9911]
    """
    return min(most, (1 + step) / (10 + step))


@register("ema", reference="Gowal et al. 2020, arXiv:2010.03593")
class EMA(Recipe):
    """EMA: an exponential moving average of the weights, `w_ema <- t w_ema + (1 - t) w`."""

    takes: ClassVar[frozenset[str]] = frozenset({"average"})
    learns_from: ClassVar[frozenset[str]] = frozenset({CLASSES, MASKS, UNLABELLED})

    decay: float = Field(default=0.995, description="largest t", ge=0, lt=1)
    warmup: NonNegativeInt = Field(default=0, description="epochs in which the average is the live weights")

    @override
    def begin(self, setup: Setup) -> None:
        setup.memory.update({k: v.detach().clone() for k, v in setup.model.net.state_dict().items()})

    @torch.no_grad()
    @override
    def after_step(self, step: Step) -> None:
        memory = step.memory[self.info.name]
        live = step.classifier.net.state_dict()
        learned = {name for name, _ in step.classifier.net.named_parameters()}
        averaged = max(0, step.number - self.warmup * step.steps)
        t = 0.0 if step.epoch < self.warmup else ema_decay(averaged, self.decay)
        torch._foreach_lerp_([memory[k] for k in live if k in learned], [live[k] for k in live if k in learned], 1 - t)
        for name in live.keys() - learned:
            memory[name].copy_(live[name])

    @override
    def kept(self, memory: Memory) -> Mapping[str, Tensor]:
        return memory
