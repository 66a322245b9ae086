"""JSMA: the Jacobian-based saliency map attack, which changes as few values as it can."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, PositiveInt, field_validator
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.problem import Problem
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

PAIR = 2


class JSMAState(State):
    """One row a sample.

    Args:
        problem: its task.
        x: the current point.
        free: bool `[N, C, H, W]`: the values that were not changed yet.
        step: pairs changed, int64 `[N]`.
        stuck: bool `[N]`: no free value has a positive saliency.
    """

    problem: Problem
    x: Tensor
    free: Tensor
    step: Tensor
    stuck: Tensor


@register("jsma", reference="Papernot et al. 2016, arXiv:1511.07528")
class JSMA(Attack[JSMAState]):
    """JSMA: changes the two values of the image with the highest saliency at each step, until the class changes.

    On the probabilities F of the classes, which sum to one, the saliency `dF_t/dx |sum_{j != t} dF_j/dx|` towards a
    target t grows with `dF_t/dx`, so that the gradient of the cross-entropy orders the values; without a target they
    are those that lower the probability of the label most. A value is changed once, by `theta` of eps, within [0, 1];
    the publication's unlimited changes are those of eps = 1 (`--allow-large-eps`).
    """

    norms: ClassVar[tuple[str, ...]] = ("linf",)
    reads_clean: ClassVar[bool] = False

    steps: PositiveInt = Field(default=50, description="maximum number of steps, each of two values")
    theta: float = Field(
        default=1.0, description="change of a value, as a share of eps; below 0 lowers it", ge=-1, le=1
    )

    @field_validator("theta")
    @classmethod
    def _moves(cls, value: float) -> float:
        if not value:
            raise ValueError("give a share of eps in [-1, 1] other than 0")
        return value

    @override
    def start(self, problem: Problem, rng: SampleRng) -> JSMAState:
        clean = problem.ball.clean
        none = torch.zeros_like(problem.labels)
        return JSMAState(problem, clean, torch.ones_like(clean, dtype=torch.bool), none, none.bool())

    @override
    def ask(self, state: JSMAState) -> Gradient:
        return Gradient(state.x, of=state.problem.loss)

    @override
    def tell(self, state: JSMAState, answer: Answer) -> JSMAState:
        ball, towards = state.problem.ball, 1.0 if self.theta > 0 else -1.0
        moved = ball.project(state.x + self.theta * ball.radius).to(state.x)
        saliency = towards * required(answer.gradient)
        saliency = saliency.masked_fill(~state.free | (moved == state.x), 0.0).flatten(1)
        best = saliency.topk(min(PAIR, saliency.shape[1]), dim=1)
        chosen = torch.zeros_like(saliency, dtype=torch.bool).scatter(1, best.indices, best.values > 0).view_as(state.x)
        return state.replace(
            x=torch.where(chosen, moved, state.x),
            free=state.free & ~chosen,
            step=state.step + 1,
            stuck=~(best.values > 0).any(1),
        )

    @override
    def done(self, state: JSMAState) -> Tensor:
        return state.stuck | (state.step >= self.steps)

    @override
    def result(self, state: JSMAState) -> Candidate:
        return Candidate(state.x)

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        return self.steps, self.steps
