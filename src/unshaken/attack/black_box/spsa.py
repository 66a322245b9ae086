"""SPSA: gradient ascent with gradients estimated from pairs of scores."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.losses import margin
from unshaken.attack.engine.problem import Problem
from unshaken.attack.engine.step_length import StepLength
from unshaken.core.classifier import predict
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Logits
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

BETAS = (0.9, 0.999)
"""Decay of Adam's two moments."""


class SPSAState(State):
    """State of the search, one row per sample.

    Args:
        problem: its task.
        x: the current point.
        gradient: sum of the estimates of this step so far.
        first: Adam's first moment.
        second: Adam's second moment.
        step: steps made, int64 `[N]`.
        part: asks of this step that are answered, int64 `[N]`.
        fooled: bool `[N]`: the current point fools.
        rng: the sample's stream.
    """

    problem: Problem
    x: Tensor
    gradient: Tensor
    first: Tensor
    second: Tensor
    step: Tensor
    part: Tensor
    fooled: Tensor
    rng: SampleRng


@register("spsa", title="SPSA", reference="Uesato et al. 2018, arXiv:1802.05666", needs=("logits",))
class SPSA(StepLength, Attack[SPSAState]):
    """SPSA: gradient ascent, with the gradient estimated from the scores at pairs of points `x ± delta v`.

    With v of random signs, `g = mean (m(x + delta v) - m(x - delta v)) / (2 delta) v`. Where x is nearer than delta
    to 0 or 1, the pair is taken around the nearest point with room. The first pair of a step is x itself, twice, which
    shows whether x fools.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")

    steps: PositiveInt = Field(default=40, description="steps of Adam")
    samples: int = Field(
        default=64, ge=2, description="number of pairs of points per step; the first evaluates the current point"
    )
    delta: float = Field(
        default=0.01, gt=0, le=0.5, description="distance of a pair's points from x, a pixel, in [0, 1] units"
    )
    rel_stepsize: PositiveFloat = Field(
        default=0.1, description="length of a step, as a share of eps: of a pixel in linf, in l2 in l2"
    )
    together: PositiveInt = Field(default=8, description="maximum number of pairs per query; more need more memory")

    @override
    def start(self, problem: Problem, rng: SampleRng) -> SPSAState:
        clean, zero = problem.ball.clean, torch.zeros_like(problem.labels)
        none = torch.zeros_like(clean)
        return SPSAState(problem, clean, none, none, none, zero, zero, zero > 0, rng)

    @property
    def pairs(self) -> int:
        """Pairs an ask: the largest divisor of `samples` that `together` allows."""
        return max(p for p in range(1, self.together + 1) if self.samples % p == 0)

    @override
    def ask(self, state: SPSAState) -> Logits:
        signs, centre = self._signs(state), state.x.clamp(self.delta, 1 - self.delta)[:, None]
        points = torch.cat([centre + self.delta * signs, centre - self.delta * signs], 1).clamp_(0, 1)
        itself = (state.part == 0).view(-1, 1, 1, 1)
        for place in (0, self.pairs):
            points[:, place] = torch.where(itself, state.x, points[:, place])
        return Logits(points)

    @override
    def tell(self, state: SPSAState, answer: Answer) -> SPSAState:
        problem, pairs = state.problem, self.pairs
        logits = required(answer.logits)
        value = margin(logits.flatten(0, 1), problem.labels.repeat_interleave(2 * pairs)).view(-1, 2, pairs)
        rise = value[:, 0] - value[:, 1] if problem.targeted else value[:, 1] - value[:, 0]
        rise[:, 0].masked_fill_(state.part == 0, 0)
        estimate = torch.einsum("np,npchw->nchw", rise / (2 * self.delta * (self.samples - 1)), self._signs(state))
        hit = predict(logits[:, 0]) == problem.labels
        fooled = state.fooled | ((state.part == 0) & (hit if problem.targeted else ~hit))
        part = state.part + 1
        state = state.replace(gradient=state.gradient + estimate, part=part, fooled=fooled)
        rows = ((part * pairs >= self.samples) & ~fooled).nonzero().flatten()
        return self._stepped(state, rows) if len(rows) else state

    @override
    def done(self, state: SPSAState) -> Tensor:
        return state.fooled | (state.step >= self.steps)

    @override
    def result(self, state: SPSAState) -> Candidate:
        return Candidate(state.x)

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        return 2 * self.samples * self.steps, 0

    def _signs(self, state: SPSAState) -> Tensor:
        """The directions v of the pairs asked about now, 1 or -1, `[N, pairs, C, H, W]`."""
        stream = state.rng.fold(state.step * self.samples + state.part)
        return (stream.uniform(self.pairs, *state.x.shape[1:]) < 0.5).to(state.x).mul_(2).sub_(1)

    def _stepped(self, state: SPSAState, rows: Tensor) -> SPSAState:
        """One step of Adam for some rows: in linf along its update, in l2 along the update's direction."""
        now = state[rows]
        gradient, ball, number = now.gradient, now.problem.ball, (now.step + 1).view(-1, 1, 1, 1)
        first = BETAS[0] * now.first + (1 - BETAS[0]) * gradient
        second = BETAS[1] * now.second + (1 - BETAS[1]) * gradient.square()
        update = first / (1 - BETAS[0] ** number) / ((second / (1 - BETAS[1] ** number)).sqrt() + 1e-8)
        if ball.norm == "l2":
            update = ball.steepest(update, now.x)
        x = ball.project(now.x + self.step_length(ball) * update)
        return state.replace(
            x=state.x.index_copy(0, rows, x),
            gradient=state.gradient.index_fill(0, rows, 0),
            first=state.first.index_copy(0, rows, first),
            second=state.second.index_copy(0, rows, second),
            step=state.step.index_add(0, rows, torch.ones_like(rows)),
            part=state.part.index_fill(0, rows, 0),
        )
