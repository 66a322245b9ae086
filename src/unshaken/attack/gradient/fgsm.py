"""FGSM: one step of the fast gradient sign method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.attack_run import AttackContext, Phase
from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.losses import Loss, check_loss
from unshaken.attack.engine.problem import Problem, choose_loss
from unshaken.core.flag import Flag
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


@register("fgsm", title="FGSM", reference="Goodfellow et al. 2015, arXiv:1412.6572")
class FGSM(Attack[FGSMState]):
    """FGSM: one step that maximises the linearised loss; in linf `x' = clip(x + eps sign(g))`.

    Where logits are large the cross-entropy saturates, its gradient rounds to zero and the step goes nowhere: the
    model looks robust and is not. `temperature` divides the logits first; `margin` and `dlr` do not saturate at all.
    """

    reads_clean: ClassVar[bool] = False

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
    def start(self, problem: Problem, rng: SampleRng) -> FGSMState:
        return FGSMState(problem, problem.ball.clean, torch.zeros(len(problem), dtype=torch.bool))

    @override
    def ask(self, state: FGSMState) -> Gradient:
        return Gradient(state.x, of=choose_loss(state.problem, self.loss, self.temperature))

    @override
    def tell(self, state: FGSMState, answer: Answer) -> FGSMState:
        x = state.problem.ball.farthest(required(answer.gradient))
        return state.replace(x=x, stepped=torch.ones_like(state.stepped))

    @override
    def done(self, state: FGSMState) -> Tensor:
        return state.stepped

    @override
    def result(self, state: FGSMState) -> Candidate:
        return Candidate(state.x)

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        return 1, 1
