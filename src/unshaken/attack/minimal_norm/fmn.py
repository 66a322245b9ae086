"""FMN: steps in a ball whose radius is led to the nearest boundary."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.losses import Margin
from unshaken.attack.engine.problem import Problem
from unshaken.attack.minimal_norm._nearest import Nearest, cosine, farthest, is_fooled, length
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

DUAL = {"linf": "l1", "l2": "l2", "l1": "linf"}


class FMNState(State):
    """State of the search, one row per sample.

    Args:
        problem: its task.
        x: the current point.
        eps: radius of the current ball, `[N]`; infinite before the first answer.
        best: the nearest example so far.
        step: steps made, int64 `[N]`.
    """

    problem: Problem
    x: Tensor
    eps: Tensor
    best: Nearest
    step: Tensor


@register("fmn", reference="Pintor et al. 2021, arXiv:2102.12827", title="FMN")
class FMN(Attack[FMNState]):
    """FMN: gradient steps in a ball whose radius is led to the nearest boundary (minimal norm).

    With the gradient g of the margin L: while no example is known the radius is that of the linearised boundary,
    `eps = |delta| + |L| / |g|_dual`; then it shrinks to `min((1 - gamma) eps, |best|)` where the point fools, and else
    grows to `(1 + gamma) eps`. The point is `x <- P_eps(x + a g / |g|_2)`, clipped to [0, 1]. a and gamma fall along a
    cosine.
    """

    norms: ClassVar[tuple[str, ...]] = ("linf", "l2", "l1")
    minimal: ClassVar[bool] = True
    reads_clean: ClassVar[bool] = False

    steps: PositiveInt = Field(default=100, description="gradient steps")
    step_size: PositiveFloat = Field(
        default=1.0, description="l2 length of the first step, in [0, 1] pixel units; the last one is a hundredth"
    )
    gamma: float = Field(
        default=0.05, description="share by which the radius first shrinks or grows; in the end 0.001", gt=0, lt=1
    )

    @override
    def start(self, problem: Problem, rng: SampleRng) -> FMNState:
        clean = problem.ball.clean
        eps = torch.full_like(clean[:, 0, 0, 0], math.inf)
        return FMNState(problem, clean, eps, Nearest.none(problem), torch.zeros_like(problem.labels))

    @override
    def ask(self, state: FMNState) -> Gradient:
        return Gradient(state.x, of=Margin(state.problem.labels, state.problem.targeted))

    @override
    def tell(self, state: FMNState, answer: Answer) -> FMNState:
        ball, gradient = state.problem.ball, required(answer.gradient)
        size = length(state.x - ball.clean, ball.norm)
        fooled = is_fooled(state.problem, required(answer.logits))
        best = state.best.add(state.x, size, fooled)
        gamma = cosine(state.step, self.steps, self.gamma, min(self.gamma, 0.001))
        away = required(answer.value).abs().nan_to_num() / length(gradient, DUAL[ball.norm]).clamp_min(1e-12)
        grown = torch.where(best.found, state.eps * (1 + gamma), size + away)
        eps = torch.where(fooled, torch.minimum(state.eps * (1 - gamma), best.norm), grown)
        eps = torch.minimum(eps, farthest(ball.clean, ball.norm))
        a = cosine(state.step, self.steps, self.step_size, self.step_size / 100)
        move = (a / length(gradient, "l2").clamp_min(1e-12)).view(-1, 1, 1, 1) * gradient
        x = Ball.of(ball.clean, eps, ball.norm).project(state.x + move)
        return state.replace(x=x, eps=eps, best=best, step=state.step + 1)

    @override
    def done(self, state: FMNState) -> Tensor:
        return state.step >= self.steps

    @override
    def result(self, state: FMNState) -> Candidate:
        return Candidate(torch.where(state.best.found.view(-1, 1, 1, 1), state.best.x, state.x))

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        return self.steps, self.steps
