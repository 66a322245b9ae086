"""PGD: projected gradient ascent on the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.attack_run import AttackContext, Phase
from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.losses import Loss, check_loss
from unshaken.attack.engine.problem import Problem, choose_loss
from unshaken.attack.engine.step_length import StepLength
from unshaken.core.flag import Flag
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State


class PGDState(State):
    """One row a sample: its task, the current point and the steps made."""

    problem: Problem
    x: Tensor
    step: Tensor


@register("pgd", title="PGD", reference="Madry et al. 2018, arXiv:1706.06083")
class PGD(StepLength, Attack[PGDState]):
    """PGD: projected gradient ascent on the cross-entropy from a random start, `x <- P(x + a s(g))`.

    Other losses, and a temperature, are for models whose cross-entropy saturates; see `fgsm`.
    """

    reads_clean: ClassVar[bool] = False

    steps: PositiveInt = Field(default=40, description="gradient steps")
    rel_stepsize: PositiveFloat = Field(default=1 / 30, description="length a of a step, as a share of eps")
    restarts: PositiveInt = Field(
        default=1, description="number of random restarts; a sample that is fooled is not attacked again"
    )
    random_start: bool = Field(default=True, description="start at a random point of the ball, else at the clean image")
    loss: Loss = Field(
        default="ce",
        description="loss to maximise: cross-entropy, margin of logits, or difference-of-logits ratio (DLR)",
    )
    temperature: PositiveFloat = Field(
        default=1.0, description="temperature that divides the logits in the cross-entropy"
    )

    @override
    def phases(self, context: AttackContext) -> tuple[Sequence[Phase], Sequence[Flag]]:
        check_loss(self.info.name, self.loss, self.temperature, context.classes)
        return super().phases(context)

    @override
    def start(self, problem: Problem, rng: SampleRng) -> PGDState:
        x = problem.ball.random_point(rng) if self.random_start else problem.ball.clean
        return PGDState(problem, x, torch.zeros(len(problem), dtype=torch.int64))

    @override
    def ask(self, state: PGDState) -> Gradient:
        return Gradient(state.x, of=choose_loss(state.problem, self.loss, self.temperature))

    @override
    def tell(self, state: PGDState, answer: Answer) -> PGDState:
        ball = state.problem.ball
        direction = ball.steepest(required(answer.gradient), state.x)
        x = ball.project(state.x + self.step_length(ball) * direction)
        return state.replace(x=x, step=state.step + 1)

    @override
    def done(self, state: PGDState) -> Tensor:
        return state.step >= self.steps

    @override
    def result(self, state: PGDState) -> Candidate:
        return Candidate(state.x)

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        return self.steps, self.steps

    @property
    @override
    def runs(self) -> int:
        return self.restarts
