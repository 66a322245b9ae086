"""SmoothAdv: adversarial training of the smoothed classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.problem import Problem
from unshaken.attack.engine.step_length import StepLength
from unshaken.attack.gradient.pgd import PGD, PGDState
from unshaken.certify.smoothing.smoothed_gradient import SmoothedGradient
from unshaken.core.query import Query
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.recipe import Recipe, Step, Threat
from unshaken.harden.recipes.augmentation.gaussian_augmented import with_noise
from unshaken.stress.corruptions.gaussian_noise import unit_normal


class SmoothPGDState(PGDState):
    """State of PGD, with the noises `[N, M, C, H, W]` that all steps share."""

    noises: Tensor


class SmoothPGD(PGD):
    """PGD on the smoothed classifier: the same M noises at every step.

    Args:
        sigma: deviation of the noise, in [0, 1] pixel units.
        copies: M.
    """

    sigma: PositiveFloat = Field(default=0.25, description="deviation of the noise, in [0, 1] pixel units")
    copies: PositiveInt = Field(default=1, description="noises of each image")

    @override
    def start(self, problem: Problem, rng: SampleRng) -> SmoothPGDState:
        first, clean = super().start(problem, rng), problem.ball.clean
        noises = [unit_normal(rng.fold(i), *clean.shape[1:]).mul_(self.sigma) for i in range(self.copies)]
        return SmoothPGDState(first.problem, first.x, first.step, torch.stack(noises, 1).to(clean))

    @override
    def ask(self, state: PGDState) -> Query:  # type: ignore[override]
        return SmoothedGradient(state.x, state.problem.labels, cast(SmoothPGDState, state).noises)


@register("smooth-adv", reference="Salman et al. 2019, arXiv:1906.04584")
class SmoothAdv(StepLength, Recipe):
    """SmoothAdv: adversarial training of the smoothed classifier, on noisy copies of adversarial images.

    PGD in evaluation mode from the image, with the noises drawn once for all its steps and for the learning after it;
    they are not clipped, `x'` itself stays in [0, 1]. The radius rises over the first epochs. It costs
    `copies * (steps + 1)` passes each way. Give `select=last`: held-out accuracy is that of images without noise.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"inner", "loss"})
    refuses: ClassVar[Mapping[str, str]] = {"targets": "the search raises the loss of one label; leave mixing out"}

    sigma: PositiveFloat = Field(default=0.25, description="deviation of the noise, in [0, 1] pixel units")
    copies: PositiveInt = Field(default=1, description="m, noises of each image, in the search and in the learning")
    eps: PositiveFloat = Field(default=0.25, description="l2 radius in [0, 1] pixel units; 0.25 to 2 is usual")
    steps: PositiveInt = Field(default=2, description="gradient steps of the search; 2 to 10 is usual")
    rel_stepsize: PositiveFloat | None = Field(  # type: ignore[assignment]
        default=None, description="length of a step, as a share of eps; default 2 / steps"
    )
    random_start: bool = Field(default=False, description="start at a random point of the ball, else at the image")
    warmup: NonNegativeInt = Field(default=1, description="epochs in which the radius rises to eps; 0 and 1 for none")

    @property
    @override
    def budgets(self) -> tuple[Threat, ...]:
        return (Threat("l2", self.eps),)

    def radius(self, epoch: int) -> float:
        """`min(eps, (e + 1) eps / warmup)` in epoch e, from 0."""
        return self.eps * min(1.0, (epoch + 1) / max(1, self.warmup))

    @override
    def inner(self, step: Step) -> Tensor:
        search = SmoothPGD(
            steps=self.steps,
            random_start=self.random_start,
            sigma=self.sigma,
            copies=self.copies,
            **(self.chosen_step if self.step_size or self.rel_stepsize else {"rel_stepsize": 2 / self.steps}),
        )
        rng, eps = step.rng.fold(self.info.name), self.radius(step.epoch)
        return step.inner.find(search, step.images, step.labels, rng, norm="l2", eps=eps)

    @override
    def loss(self, step: Step) -> Tensor:
        rng = step.rng.fold(self.info.name)
        noisy = torch.cat([with_noise(step.shown, self.sigma, rng.fold(i)) for i in range(self.copies)])
        logits = step.model(noisy).view(self.copies, len(step.images), -1)
        return torch.stack([step.cross_entropy(one) for one in logits]).mean()
