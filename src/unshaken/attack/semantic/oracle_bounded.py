"""Oracle-bounded: the worst image of its kind on which an oracle still sees the class."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.adam import Adam
from unshaken.attack.engine.base import Candidate
from unshaken.attack.engine.problem import Problem
from unshaken.attack.semantic._oracle_search import BUDGET, NOT_FINITE, REFUSED, START, OracleSearch
from unshaken.attack.semantic._search_space import finite
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State


class OracleBoundedState(State):
    """One row a sample.

    Args:
        problem: its task.
        codes: of the last image that was approved, `[N, ...]`.
        x: that image as it is stored, in 8 bits; the clean image where its reconstruction was refused.
        scale: the unit of a step, `[N]`.
        adam: moments of the gradients.
        step: steps made.
        accepted: steps that the oracle approved of.
        stop: place in `STOPS` of why the search ended.
        asked: forward passes of oracles.
    """

    problem: Problem
    codes: Tensor
    x: Tensor
    scale: Tensor
    adam: Adam
    step: Tensor
    accepted: Tensor
    stop: Tensor
    asked: Tensor


@register("oracle-bounded", reference="Zhang et al. 2024, arXiv:2308.10632")
class OracleBound(OracleSearch[OracleBoundedState]):
    """Oracle-bounded attack: raises the loss until an oracle no longer sees the class, and keeps the last image before.

    No norm bounds it. A generator makes an image of a code; the code follows the gradient of the model's cross-entropy,
    and after each step the image, rounded to 8 bits, is shown to the oracle: any other model, or several that vote,
    asked without gradients. The first refusal ends the search. Accuracy on these images over that on the unchanged
    ones is FMR (foundation-model-oriented robustness), see `unshaken.measure.fmr`. An image whose first reconstruction
    is refused stays as it is. Without an oracle the search is unconstrained, to see what the constraint buys.
    """

    @property
    @override
    def stops_at_success(self) -> bool:
        return self.early

    @override
    def start(self, problem: Problem, rng: SampleRng) -> OracleBoundedState:
        clean, space = problem.ball.clean, self._search_space()
        codes = space.space.start(clean, rng)
        x, good = space.show(codes, clean, problem.labels)
        zero = torch.zeros_like(problem.labels)
        stop = torch.where(good, BUDGET, torch.where(finite(x), START, NOT_FINITE))
        return OracleBoundedState(
            problem, codes, torch.where(_wide(good, x), x, clean), space.space.scale(codes), Adam.of(codes), zero, zero,
            stop, zero + len(space.committee),
        )  # fmt: skip

    @override
    def ask(self, state: OracleBoundedState) -> Gradient:
        return Gradient(state.x, of=state.problem.loss)

    @override
    def tell(self, state: OracleBoundedState, answer: Answer) -> OracleBoundedState:
        space, problem, count = self._search_space(), state.problem, state.step + 1
        gradient = required(answer.gradient)
        if self.together:
            gradient = gradient + self.together * space.committee.loss_gradient(state.x, problem.labels)
        slope = space.slope(gradient, state.codes, problem.ball.clean)
        adam = state.adam.add(slope)
        direction = self._direction(slope, adam, count)
        codes = space.space.project(state.codes + _wide(self.step_size * state.scale, slope) * direction)
        x, good = space.show(codes, problem.ball.clean, problem.labels)
        return state.replace(
            codes=torch.where(_wide(good, codes), codes, state.codes),
            x=torch.where(_wide(good, x), x, state.x),
            adam=adam,
            step=count,
            accepted=state.accepted + good,
            stop=torch.where(good, state.stop, torch.where(finite(x), REFUSED, NOT_FINITE)),
            asked=state.asked + len(space.committee),
        )

    @override
    def done(self, state: OracleBoundedState) -> Tensor:
        return (state.step >= self.steps) | (state.stop != BUDGET)

    @override
    def result(self, state: OracleBoundedState) -> Candidate:
        return Candidate(state.x, {"accepted": state.accepted, "stop": state.stop, "asked": state.asked})

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        return self.steps, self.steps

    def _direction(self, slope: Tensor, adam: Adam, count: Tensor) -> Tensor:
        if self.rule == "adam":
            return adam.direction(count)
        if self.rule == "sign":
            return slope.sign()
        size = slope.flatten(1).square().mean(1).sqrt().clamp_min(1e-30)
        return slope / _wide(size, slope)


def _wide(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *(1,) * (like.ndim - 1))
