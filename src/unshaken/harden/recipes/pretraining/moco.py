"""MoCo: contrastive pretraining against a queue of keys, which an average of the network gives."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from torch.func import functional_call
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.projection import ProjectionNet, outputs
from unshaken.harden.engine.recipe import Setup, Step
from unshaken.harden.recipes.pretraining.simclr import ContrastivePretraining

KEYS, QUEUE, NEXT = "keys.", "queue", "next"


def queue_info_nce(queries: Tensor, keys: Tensor, queue: Tensor, tau: float = 0.2) -> Tensor:
    """The loss of MoCo: each query finds its key among those of a queue; other samples of the batch are not used.

    Args:
        queries: `[B, D]`.
        keys: `[B, D]`; no gradient passes to them.
        queue: keys of earlier batches `[Q, D]`, of length 1; rows of zeros, not yet filled, are no negatives.
        tau: temperature.

    Returns:
        Float32 `[B]`; `log(Q + 1)` where all are alike.

    Source: He et al. 2020, arXiv:1911.05722.
    """
    q, k = F.normalize(queries.float(), dim=1), F.normalize(keys.detach().float(), dim=1)
    negatives = (q @ queue.T / tau).masked_fill((queue == 0).all(1), -torch.inf)
    logits = torch.cat([(q * k).sum(1, keepdim=True) / tau, negatives], 1)
    return F.cross_entropy(logits, logits.new_zeros(len(q), dtype=torch.int64), reduction="none")


@register("moco", reference="He et al. 2020, arXiv:1911.05722; Chen et al. 2020, arXiv:2003.04297")
class MoCo(ContrastivePretraining):
    """MoCo v2 pretraining: as `simclr`, with negatives from a queue, so that small batches do; needs no labels.

    Keys come from an average of the network, which shares no gradient. Batches are not shuffled among processes for
    the statistics of batch norms. Give `select=last`.
    """

    temperature: PositiveFloat = Field(default=0.2, description="temperature")
    momentum: float = Field(
        default=0.99, ge=0, lt=1, description="share of the average that stays in a step; 0.999 is usual"
    )
    queue: PositiveInt = Field(default=4096, le=1 << 20, description="keys in the queue; 65536 is usual for large sets")

    @override
    def begin(self, setup: Setup) -> None:
        super().begin(setup)
        net = cast(ProjectionNet, setup.model.net)
        setup.memory.update(
            {KEYS + k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in net.state_dict().items()}
        )
        setup.memory[QUEUE] = torch.zeros(self.queue, self.projected, device=setup.images.device)
        setup.memory[NEXT] = torch.zeros((), dtype=torch.int64)

    @override
    def loss(self, step: Step) -> Tensor:
        memory, (one, two) = step.memory[self.info.name], self.views(step)
        (queries,) = outputs(step, one, "projection")
        weights = {f"net.{k.removeprefix(KEYS)}": v for k, v in memory.items() if k.startswith(KEYS)}
        with torch.no_grad(), cast(ProjectionNet, step.classifier.net).giving("projection"):
            keys = functional_call(step.classifier, weights, (two,)).float()
        step.inner.meter.forwards += len(two)
        step.extra[QUEUE] = F.normalize(keys, dim=1)
        return queue_info_nce(queries, keys, memory[QUEUE], self.temperature).mean()

    @override
    def after_step(self, step: Step) -> None:
        """The batch's keys replace the oldest ones; `average <- m average + (1 - m) network`.

        Statistics of batch norms are the average's own.
        """
        memory, net = step.memory[self.info.name], step.classifier.net
        keys, start = step.extra[QUEUE][: self.queue], int(memory[NEXT])
        places = torch.arange(start, start + len(keys), device=keys.device) % self.queue
        memory[QUEUE][places] = keys
        memory[NEXT].fill_((start + len(keys)) % self.queue)
        names, live = zip(*net.named_parameters(), strict=True)
        with torch.no_grad():
            torch._foreach_lerp_([memory[KEYS + k] for k in names], [p.detach() for p in live], 1 - self.momentum)
