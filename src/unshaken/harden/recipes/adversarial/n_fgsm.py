"""N-FGSM: a single step from far noise, without clipping; fast, and steady."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.losses import SoftCrossEntropy
from unshaken.attack.engine.problem import Problem
from unshaken.attack.engine.step_length import StepLength
from unshaken.attack.gradient.pgd import PGD, PGDState
from unshaken.core.oracle import required
from unshaken.core.query import Answer
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.recipe import AdversarialRecipe, Step


class NoisyStep(PGD):
    """`x + eta + a sign(g(x + eta))` with `eta ~ U(-k eps, k eps)`, clipped to [0, 1] alone."""

    noise: float

    @override
    def start(self, problem: Problem, rng: SampleRng) -> PGDState:
        state = super().start(problem, rng)
        ball = problem.ball
        eta = rng.fold("noise").uniform(*ball.clean.shape[1:], low=-1, high=1).to(ball.clean)
        return state.replace(x=ball.clean + self.noise * ball.radius * eta)

    @override
    def tell(self, state: PGDState, answer: Answer) -> PGDState:
        ball: Ball = state.problem.ball
        x = state.x + self.step_length(ball) * ball.steepest(required(answer.gradient), state.x)
        return state.replace(x=x.clamp(0, 1), step=state.step + 1)


@register("n-fgsm", title="n FGSM", reference="de Jorge et al. 2022, arXiv:2202.01181")
class NFgsm(StepLength, AdversarialRecipe):
    """N-FGSM: single-step adversarial training from strong noise, without clipping to the ball."""

    norm: Literal["linf"] = Field(default="linf", description="norm of the perturbation")
    rel_stepsize: PositiveFloat = Field(default=1.0, description="length a of the one step, as a share of eps")
    noise: NonNegativeFloat = Field(default=2.0, description="half-width k of the noise, as a share of eps")

    @override
    def inner(self, step: Step) -> Tensor:
        objective = None if step.targets is None else SoftCrossEntropy(step.targets)
        attack = NoisyStep(steps=1, noise=self.noise, random_start=False, **self.chosen_step)
        return step.inner.find(
            attack, step.images, step.labels, step.rng.fold("n-fgsm"), norm="linf", eps=self.eps, objective=objective
        )

    @override
    def loss(self, step: Step) -> Tensor:
        return step.cross_entropy(step.model(step.shown))
