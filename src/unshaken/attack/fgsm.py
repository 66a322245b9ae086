"""FGSM: one step of the fast gradient sign method."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from unshaken.attack.base import Attack, Found
from unshaken.attack.problem import Problem
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State


class FGSMState(State):
    """One row a sample: its task, the current point, and whether the step is made."""

    problem: Problem
    x: Tensor
    stepped: Tensor


@register("fgsm", reference="Goodfellow et al. 2015, arXiv:1412.6572")
class FGSM(Attack[FGSMState]):
    """One step to the point that the linearised loss likes best: `x' = clip(x + eps sign(g))` in linf."""

    reads_clean: ClassVar[bool] = False

    def start(self, problem: Problem, rng: SampleRng) -> FGSMState:
        """The clean image."""
        return FGSMState(problem, problem.ball.clean, torch.zeros_like(problem.labels, dtype=torch.bool))

    def ask(self, state: FGSMState) -> Gradient:
        """The gradient of the loss at the clean image."""
        return Gradient(state.x, of=state.problem.loss)

    def tell(self, state: FGSMState, answer: Answer) -> FGSMState:
        """The one step."""
        x = state.problem.ball.farthest(required(answer.gradient))
        return state.replace(x=x, stepped=torch.ones_like(state.stepped))

    def done(self, state: FGSMState) -> Tensor:
        """After the step."""
        return state.stepped

    def result(self, state: FGSMState) -> Found:
        """The point reached."""
        return Found(state.x)

    def cost(self, classes: int) -> tuple[int, int]:
        """One gradient."""
        return 1, 1
