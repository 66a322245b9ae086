"""APGD: projected gradient ascent with momentum and a step size that needs no tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.attack_run import AttackContext, Phase
from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.losses import DLR, Difference, Margin, TargetedDLR
from unshaken.attack.engine.problem import Problem
from unshaken.attack.gradient._apgd_momentum import hopeless, momentum_step
from unshaken.attack.gradient._apgd_sparse import sparse_step
from unshaken.attack.gradient._apgd_state import APGDState, BallSchedule, start_first_run, start_next_phase
from unshaken.core.errors import ParameterError
from unshaken.core.flag import Flag
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient, Objective
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng

LEAST_CLASSES = {"dlr": 3, "dlr-targeted": 4}


@register("apgd", reference="Croce & Hein 2020, arXiv:2003.01690")
class APGD(Attack[APGDState]):
    """Auto-PGD: projected gradient ascent with momentum and a step size that adapts by itself.

    At checkpoints the step size a, 2 eps at first, is halved where too few steps raised the loss, and the search goes
    on from the best point. In l1 (Croce & Hein 2021, arXiv:2103.01208) steps are sparse, and the ball shrinks in three
    phases from 3 eps to eps.

    The losses ending in `-targeted` run once for each of the classes likeliest on the clean image (the run for the next
    class begins where the sample has survived the one before), and any class but the label is a success.
    """

    steps: PositiveInt = Field(100, description="gradient steps of one run")
    loss: Literal["ce", "dlr", "margin", "dlr-targeted", "margin-targeted"] = Field(
        "ce", description="loss to maximise: cross-entropy, difference-of-logits ratio (DLR), or margin of logits"
    )
    targets: PositiveInt = Field(
        9,
        description="number of target classes for a targeted loss, the likeliest first",
        json_schema_extra={"most": "classes - 1"},
    )
    restarts: PositiveInt = Field(
        1, description="number of random restarts; a sample that is fooled is not attacked again"
    )
    shrink: bool = Field(True, description="for l1: search in balls of 3 and 2 eps first")
    give_up: bool = Field(
        False,
        description="for linf and l2: stop a run early when its progress suggests that it will fail; not for loss=ce",
    )

    @model_validator(mode="after")
    def _boundary(self) -> Self:
        if self.give_up and self.loss == "ce":
            raise ValueError(
                "give_up: not available for loss=ce, whose value does not show the boundary: use another loss"
            )
        return self

    @property
    @override
    def runs(self) -> int:
        return self.restarts

    @override
    def phases(self, context: AttackContext) -> tuple[Sequence[Phase], Sequence[Flag]]:
        least = LEAST_CLASSES.get(self.loss, 2)
        if context.classes < least:
            other = "margin-targeted" if self.loss.endswith("targeted") else "ce or loss=margin"
            raise ParameterError(
                f"apgd: loss={self.loss} needs {least} classes, the model has {context.classes}: use loss={other}"
            )
        return super().phases(context)

    @override
    def start(self, problem: Problem, rng: SampleRng) -> APGDState:
        n = self.targets if self.loss.endswith("targeted") else 1
        targets = problem.labels[:, None] if problem.targeted else problem.rivals(n)
        return start_first_run(problem, rng, targets, self._schedule(problem.ball.norm))

    @override
    def ask(self, state: APGDState) -> Gradient:
        return Gradient(state.x, of=self.objective(state))

    @override
    def tell(self, state: APGDState, answer: Answer) -> APGDState:
        phases = self._schedule(state.problem.ball.norm)
        ended = state.t >= phases.steps(state)
        step = sparse_step if state.problem.ball.norm == "l1" else momentum_step
        stepped = step(state, required(answer.value), required(answer.gradient), phases)
        if self.give_up and step is momentum_step:
            lost = hopeless(state, stepped, phases)
            stepped = stepped.replace(t=torch.where(lost, phases.steps(state), stepped.t))
        rows = ended.nonzero().flatten()
        return stepped.put(rows, start_next_phase(stepped[rows], phases)) if len(rows) else stepped

    @override
    def done(self, state: APGDState) -> Tensor:
        phases = self._schedule(state.problem.ball.norm)
        last = (state.phase == len(phases) - 1) & (state.turn == state.targets.shape[1] - 1)
        return last & (state.t >= phases.steps(state))

    @override
    def result(self, state: APGDState) -> Candidate:
        return Candidate(state.x)

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        runs = min(self.targets, classes - 1) if self.loss.endswith("targeted") else 1
        most = runs * (self.steps + 3)  # three phases at most, each with a start
        return most, most

    def _schedule(self, norm: str) -> BallSchedule:
        return (
            BallSchedule.shrinking(self.steps) if norm == "l1" and self.shrink else BallSchedule((1.0,), (self.steps,))
        )

    def objective(self, state: APGDState) -> Objective:
        """The loss of each sample, against its present target."""
        problem = state.problem
        if self.loss == "ce":
            return problem.loss
        if self.loss == "margin":
            return Margin(problem.labels, problem.targeted)
        target = state.targets.gather(1, state.turn[:, None])[:, 0]
        label = problem.logits.argmax(1) if problem.targeted else problem.labels
        if self.loss == "margin-targeted":
            return Difference(label, target)
        if self.loss == "dlr-targeted":
            return TargetedDLR(label, target)
        return DLR(problem.labels, -1 if problem.targeted else 1)
