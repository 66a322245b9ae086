"""TRADES: a clean loss, and a prediction that does not change in the ball."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.losses import SoftCrossEntropy
from unshaken.attack.engine.problem import Problem
from unshaken.attack.gradient.pgd import PGD, PGDState
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.recipe import IterativeRecipe, Step, soft_predictions

NOISE = 1e-3
"""Deviation of the normal noise from which the search starts: at the image itself the gradient of the KL is zero."""


class FromNoise(PGD):
    """PGD that starts a thousandth away from the image."""

    @override
    def start(self, problem: Problem, rng: SampleRng) -> PGDState:
        state = super().start(problem, rng)
        ball = problem.ball
        noise = rng.fold("start").normal(*ball.clean.shape[1:]).to(ball.clean)
        return state.replace(x=ball.project(ball.clean + NOISE * noise))


def trades_loss(clean: Tensor, adversarial: Tensor, labels: Tensor, beta: float) -> Tensor:
    """`CE(f(x), y) + beta KL(p(x) || p(x'))`, both means over the batch; gradients flow through both predictions.

    Args:
        clean: logits `[N, K]` of the images.
        adversarial: logits `[N, K]` of the perturbed images.
        labels: int64 `[N]`, or class probabilities `[N, K]`.
        beta: weight of the second term.
    """
    kl = F.kl_div(adversarial.log_softmax(1), clean.log_softmax(1), reduction="batchmean", log_target=True)
    return F.cross_entropy(clean, labels) + beta * kl


@register("trades", reference="Zhang et al. 2019, arXiv:1901.08573")
class Trades(IterativeRecipe):
    """TRADES: trades clean accuracy against robustness, `CE(f(x), y) + beta max_{x'} KL(p(x) || p(x'))`."""

    beta: NonNegativeFloat = Field(default=6.0, description="weight of the KL term, 1 to 10")

    @override
    def inner(self, step: Step) -> Tensor:
        clean = step.inner.logits(step.images)
        search = self.search()
        if isinstance(search, PGD):
            search = FromNoise(steps=self.steps, random_start=False, **self.chosen_step)
        return step.inner.find(
            search,
            step.images,
            step.labels,
            step.rng.fold("trades"),
            norm=self.norm,
            eps=self.eps,
            objective=SoftCrossEntropy(soft_predictions(clean)),
            logits=clean,
        )

    @override
    def loss(self, step: Step) -> Tensor:
        wanted = step.labels if step.targets is None else step.targets
        return trades_loss(step.model(step.images), step.model(step.shown), wanted, self.beta)
