"""DDN: a step along the gradient, then a norm that grows or shrinks by whether the point fools."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.problem import Problem
from unshaken.attack.minimal_norm._nearest import Nearest, cosine, farthest, is_fooled, length
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

LAST_STEP = 0.01
"""Length of the last step, in [0, 1] pixel units."""


class DDNState(State):
    """State of the search, one row per sample.

    Args:
        problem: its task.
        rng: for directions where the gradient is 0.
        x: the current point.
        eps: the current norm, `[N]`.
        best: the nearest example so far.
        step: steps made, int64 `[N]`.
    """

    problem: Problem
    rng: SampleRng
    x: Tensor
    eps: Tensor
    best: Nearest
    step: Tensor


@register("ddn", reference="Rony et al. 2019, arXiv:1811.09600", title="DDN")
class DDN(Attack[DDNState]):
    """DDN: gradient steps on a sphere whose radius shrinks while the point fools the model and else grows (minimal l2).

    With the gradient g of the cross-entropy and `delta = x - x_0`: `delta <- delta + a g / |g|`,
    `eps <- (1 -+ gamma) eps`, `x <- clip(x_0 + eps delta / |delta|)`; a falls from `step_size` to 0.01 along a cosine.
    """

    norms: ClassVar[tuple[str, ...]] = ("l2",)
    minimal: ClassVar[bool] = True
    reads_clean: ClassVar[bool] = False

    steps: PositiveInt = Field(default=100, description="gradient steps")
    gamma: float = Field(default=0.05, description="share by which the norm shrinks or grows at each step", gt=0, lt=1)
    first_norm: PositiveFloat = Field(default=1.0, description="l2 norm of the first step, in [0, 1] pixel units")
    step_size: PositiveFloat = Field(default=1.0, description="length of the first step, in [0, 1] pixel units")
    levels: int | None = Field(
        default=None, description="round each point to this many levels of a pixel, such as 256; None for none", ge=2
    )

    @override
    def start(self, problem: Problem, rng: SampleRng) -> DDNState:
        clean = problem.ball.clean
        eps = torch.full_like(clean[:, 0, 0, 0], self.first_norm)
        return DDNState(problem, rng, clean, eps, Nearest.none(problem), torch.zeros_like(problem.labels))

    @override
    def ask(self, state: DDNState) -> Gradient:
        return Gradient(state.x, of=state.problem.loss)

    @override
    def tell(self, state: DDNState, answer: Answer) -> DDNState:
        clean, gradient = state.problem.ball.clean, required(answer.gradient)
        delta = state.x - clean
        fooled = is_fooled(state.problem, required(answer.logits))
        best = state.best.add(state.x, length(delta, "l2"), fooled)
        size = length(gradient, "l2")
        flat = (size < 1e-12).nonzero().flatten()
        if len(flat):
            drawn = state.rng[flat].fold(state.step[flat]).normal(*clean.shape[1:]).to(gradient)
            gradient = gradient.index_copy(0, flat, drawn)
            size = size.index_copy(0, flat, torch.ones_like(size[flat]))
        a = cosine(state.step, self.steps, self.step_size, LAST_STEP)
        delta = delta + (a / size).view(-1, 1, 1, 1) * gradient
        eps = torch.minimum(state.eps * torch.where(fooled, 1 - self.gamma, 1 + self.gamma), farthest(clean, "l2"))
        x = (clean + (eps / length(delta, "l2").clamp_min(1e-12)).view(-1, 1, 1, 1) * delta).clamp_(0, 1)
        if self.levels is not None:
            x = x.mul_(self.levels - 1).round_().div_(self.levels - 1)
        return state.replace(x=x, eps=eps, best=best, step=state.step + 1)

    @override
    def done(self, state: DDNState) -> Tensor:
        return state.step >= self.steps

    @override
    def result(self, state: DDNState) -> Candidate:
        return Candidate(torch.where(state.best.found.view(-1, 1, 1, 1), state.best.x, state.x))

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        return self.steps, self.steps
