"""Random noise of a given norm: no search, but what any attack of the same budget has to beat."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.problem import Problem
from unshaken.core.query import Answer, Labels
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State


class NoiseState(State):
    """One row a sample: its noisy image, and whether the model was asked."""

    x: Tensor
    asked: Tensor


@register("random-noise", reference="Fawzi et al. 2016, arXiv:1608.08967", needs=("labels",))
class RandomNoise(Attack[NoiseState]):
    """Random noise: a change in a random direction, as large as the budget; a control for attacks of the same norm.

    In linf each value changes by eps up or down, in l2 the direction is normal and has length eps, in l1 normal noise
    is projected on the ball; then pixels are clipped to [0, 1], which shortens the change.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"labels"})
    reads_clean: ClassVar[bool] = False

    draws: PositiveInt = Field(default=1, description="random directions tried, one after the other")

    @property
    @override
    def runs(self) -> int:
        return self.draws

    @override
    def start(self, problem: Problem, rng: SampleRng) -> NoiseState:
        ball = problem.ball
        if ball.norm == "linf":
            sign = rng.fold("noise").uniform(*ball.clean.shape[1:], low=-1, high=1).to(ball.clean)
            x = torch.where(sign < 0, ball.lower, ball.upper)
        else:
            x = ball.sphere_point(rng.fold("noise"))
        return NoiseState(x, torch.zeros(len(problem), dtype=torch.bool))

    @override
    def ask(self, state: NoiseState) -> Labels:
        return Labels(state.x)

    @override
    def tell(self, state: NoiseState, answer: Answer) -> NoiseState:
        return state.replace(asked=torch.ones_like(state.asked))

    @override
    def done(self, state: NoiseState) -> Tensor:
        return state.asked

    @override
    def result(self, state: NoiseState) -> Candidate:
        return Candidate(state.x)

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        return 1, 0
