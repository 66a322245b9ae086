"""GAL: members whose input gradients point different ways."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.registry import register
from unshaken.harden.engine.ensemble import Members, apart, members_in, summed_cross_entropy
from unshaken.harden.engine.recipe import Step


def gal_coherence(gradients: Tensor) -> Tensor:
    """`log sum_{i<j} exp(cos(g_i, g_j))`, `[B]`.

    Args:
        gradients: `[N, B, ...]` of N members.

    >>> round(float(gal_coherence(torch.ones(3, 1, 4))), 6)
    2.098612
    """
    flat = F.normalize(gradients.flatten(2), dim=2)
    pairs = [(flat[i] * flat[j]).sum(1) for i, j in combinations(range(len(flat)), 2)]
    return torch.stack(pairs).logsumexp(0)


@register("gal", reference="Kariyappa & Qureshi 2019, arXiv:1901.09981")
class GAL(Members):
    """GAL: trains an ensemble whose members' input gradients point in different directions.

    Every ReLU becomes leaky, for a gradient that is zero has no direction. Published with Adam at a rate of 1e-3.
    """

    refuses: ClassVar[Mapping[str, str]] = {"targets": "it needs a true class; leave one of the two out"}

    weight: NonNegativeFloat = Field(default=0.5, description="weight lambda of the penalty")
    slope: float = Field(default=0.1, description="slope of the leaky ReLU below zero", ge=0, lt=1)
    sigma: NonNegativeFloat = Field(
        default=0.045, description="deviation of the normal input noise, in [0, 1] pixel units"
    )
    noisy: float = Field(default=0.5, description="share of the batches that get noise", ge=0, le=1)

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        for name, module in list(model.net.named_modules()):
            if isinstance(module, nn.ReLU):
                model.net.set_submodule(name, nn.LeakyReLU(self.slope))
        return super().rebuild(model)

    @override
    def augment(self, step: Step) -> None:
        rng = step.rng.fold("gal")
        if self.sigma and float(rng[:1].fold("batch").uniform()[0]) < self.noisy:
            step.images = (step.images + self.sigma * rng.normal(*step.images.shape[1:]).to(step.images)).clamp(0, 1)

    @override
    def loss(self, step: Step) -> Tensor:
        n = len(members_in(step))
        images = step.shown.detach().expand(n, *step.shown.shape).clone().requires_grad_(True)
        logits = apart(step, images)
        total = summed_cross_entropy(logits, step.labels)
        (slopes,) = torch.autograd.grad(total, images, create_graph=True)
        return total / n + self.weight * gal_coherence(slopes * len(step.images)).mean()
