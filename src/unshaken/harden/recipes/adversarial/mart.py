"""MART: adversarial training that heeds which clean images are misclassified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.recipe import IterativeRecipe, Step
from unshaken.harden.recipes.adversarial.trades import FromNoise


def mart_loss(clean: Tensor, adversarial: Tensor, labels: Tensor, beta: float) -> Tensor:
    """`BCE(p(x'), y) + beta mean_i KL(p(x_i) || p(x'_i)) (1 - p_y(x_i))`.

    `BCE = -log p_y(x') - log(1 - max_{k != y} p_k(x'))`, with the offsets of the authors' code (1.0001 and 1.0000001).

    Args:
        clean: logits `[N, K]` of the images.
        adversarial: logits `[N, K]` of the perturbed images.
        labels: int64 `[N]`.
        beta: weight of the second term.
    """
    p, q = clean.softmax(1), adversarial.softmax(1)
    rival = q.scatter(1, labels[:, None], -1).amax(1)
    nll = torch.nn.functional.cross_entropy(adversarial, labels, reduction="none")
    bce = (nll - torch.log(1.0001 - rival + 1e-12)).mean()
    kl = (p * (torch.log(p + 1e-12) - torch.log(q + 1e-12))).sum(1)
    weight = 1.0000001 - p.gather(1, labels[:, None]).squeeze(1)
    return bce + beta * (kl * weight).mean()


@register("mart", reference="Wang et al. 2020, ICLR, openreview rklOg6EFwS")
class Mart(IterativeRecipe):
    """MART: adversarial training with a boosted cross-entropy and a KL term weighted by the clean error."""

    refuses: ClassVar[Mapping[str, str]] = {"targets": "its loss weighs by the one true class, which mixed labels lack"}

    beta: NonNegativeFloat = Field(
        default=5.0, description="weight of the KL term; 5 for small networks, 6 for wide ones"
    )

    @override
    def inner(self, step: Step) -> Tensor:
        search = FromNoise(steps=self.steps, random_start=False, **self.chosen_step)
        if self.attack != "pgd":
            search = self.search()  # type: ignore[assignment]
        return step.inner.find(search, step.images, step.labels, step.rng.fold("mart"), norm=self.norm, eps=self.eps)

    @override
    def loss(self, step: Step) -> Tensor:
        return mart_loss(step.model(step.images), step.model(step.shown), step.labels, self.beta)
