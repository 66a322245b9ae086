"""MI-FGSM: sign steps along an accumulated gradient."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.problem import Problem
from unshaken.attack.engine.step_length import StepLength
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State


def accumulated(momentum: Tensor, gradient: Tensor, mu: float) -> Tensor:
    """`g_{t+1} = mu g_t + grad / |grad|_1`, sample by sample.

    Args:
        momentum: g_t `[N, C, H, W]`.
        gradient: of the loss, as `momentum`.
        mu: decay factor.
    """
    length = gradient.flatten(1).abs().sum(1).clamp_min(1e-30).view(-1, 1, 1, 1)
    return mu * momentum + gradient / length


class MIFGSMState(State):
    """One row a sample: its task, the current point, the accumulated gradient and the steps made."""

    problem: Problem
    x: Tensor
    momentum: Tensor
    step: Tensor


@register("mi-fgsm", title="MI FGSM", reference="Dong et al. 2018, arXiv:1710.06081")
class MIFGSM(StepLength, Attack[MIFGSMState]):
    """MI-FGSM: sign steps along an accumulated gradient, `g <- mu g + grad / |grad|_1`, `x <- P(x + a s(g))`.

    The accumulator holds gradients of unit l1 norm, not their signs: small components can win over time.
    """

    reads_clean: ClassVar[bool] = False

    steps: PositiveInt = Field(default=10, description="gradient steps T")
    rel_stepsize: PositiveFloat = Field(
        default=0.1, description="length a of a step, as a share of eps; the paper's is 1/T"
    )
    mu: NonNegativeFloat = Field(default=1.0, description="decay factor of the accumulated gradient; 0 is plain ascent")

    @override
    def start(self, problem: Problem, rng: SampleRng) -> MIFGSMState:
        clean = problem.ball.clean
        return MIFGSMState(problem, clean, torch.zeros_like(clean), torch.zeros(len(problem), dtype=torch.int64))

    @override
    def ask(self, state: MIFGSMState) -> Gradient:
        return Gradient(state.x, of=state.problem.loss)

    @override
    def tell(self, state: MIFGSMState, answer: Answer) -> MIFGSMState:
        ball = state.problem.ball
        momentum = accumulated(state.momentum, required(answer.gradient), self.mu)
        x = ball.project(state.x + self.step_length(ball) * ball.steepest(momentum, state.x))
        return state.replace(x=x, momentum=momentum, step=state.step + 1)

    @override
    def done(self, state: MIFGSMState) -> Tensor:
        return state.step >= self.steps

    @override
    def result(self, state: MIFGSMState) -> Candidate:
        return Candidate(state.x)

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        return self.steps, self.steps
