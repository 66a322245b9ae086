"""An attack on a smoothed classifier, through the noise: what is left standing must lie above every certificate."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from scipy.stats import binomtest
from torch import Tensor

from unshaken.attack.ball import Ball, distance
from unshaken.certify.base import Certifier
from unshaken.certify.smoothed_gradient import SmoothedGradient
from unshaken.certify.smoothing import smoothed_at, vote_logits
from unshaken.certify.votes import Tally, vote
from unshaken.core.batch import Batch
from unshaken.core.driver import drive
from unshaken.core.errors import ParameterError
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Goal
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.run.rows import Condition, Context, Part, outcomes


class _Task(State):
    ball: Ball
    labels: Tensor


class _Climb(State):
    task: _Task
    rng: SampleRng
    x: Tensor
    step: Tensor


class _Point(State):
    x: Tensor


class _Ascent:
    """Projected gradient ascent through fresh noise at every step."""

    def __init__(self, rule: SmoothingAttack) -> None:
        self.rule = rule

    def start(self, samples: _Task, rng: SampleRng) -> _Climb:
        return _Climb(samples, rng, samples.ball.clean, torch.zeros_like(samples.labels))

    def ask(self, state: _Climb) -> SmoothedGradient:
        noises = state.rng.fold(state.step).normal(self.rule.draws, *state.x.shape[1:]).mul_(self.rule.sigma)
        return SmoothedGradient(state.x, state.task.labels, noises.to(state.x))

    def tell(self, state: _Climb, answer: Answer) -> _Climb:
        ball = state.task.ball
        direction = ball.steepest(required(answer.gradient), state.x)
        x = ball.project(state.x + self.rule.step_size * ball.radius * direction)
        return state.replace(x=x, step=state.step + 1)

    def done(self, state: _Climb) -> Tensor:
        return state.step >= self.rule.steps

    def result(self, state: _Climb) -> _Point:
        return _Point(state.x)

    def goal(self, state: _Climb) -> Goal | None:
        return None


@register(
    "smoothing-attack",
    reference="Salman et al. 2019, arXiv:1906.04584",
    needs=("logits", "gradient"),
    norms=("l2",),
)
class SmoothingAttack(Certifier):
    """PGD through the noise on a smoothed classifier: an upper bound beside the certificates' lower one.

    An example counts only where fresh votes show that another class than the label wins there (the two highest counts
    differ beyond chance, at `alpha`). A sample that the smoothed classifier gets wrong without any change is left
    alone. Without labels, the class of the unchanged image is attacked.
    """

    sigma: PositiveFloat = Field(0.25, description="deviation of the noise, in [0, 1] pixel units")
    steps: PositiveInt = Field(10, description="gradient steps")
    step_size: PositiveFloat = Field(0.25, description="length of a step, as a share of eps")
    draws: PositiveInt = Field(8, description="noisy copies that each gradient is averaged over")
    votes: PositiveInt = Field(1000, description="fresh votes that judge an end point")
    alpha: float = Field(0.001, gt=0, lt=0.5, description="probability that an example counts by chance")

    @property
    def subject(self) -> str:
        """The smoothed classifier."""
        return smoothed_at(self.sigma)

    def conditions(self, *, label: str, severities: Sequence[int], eps: Sequence[float], norm: str) -> list[Condition]:
        """One condition a radius, in l2; `sigma/2` to `3 sigma` unless given.

        Raises:
            ParameterError: severities are given, or a radius is not above 0.
        """
        if severities:
            raise ParameterError("smoothing-attack: it has no severities: give eps, l2 radii")
        if any(e <= 0 for e in eps):
            raise ParameterError(f"smoothing-attack: eps={min(eps):g} must be above 0")
        radii = sorted(eps) or [self.sigma * z / 2 for z in range(1, 7)]
        return [Condition(f"{label}-l2-{r:.6g}", "smoothing-attack", eps=r, norm="l2") for r in radii]

    def evaluate(self, batch: Batch, conditions: Sequence[Condition], context: Context) -> list[Part]:
        """Each radius in turn, the smallest first; an example found within a smaller one stands."""
        began = time.perf_counter()
        plain = self._votes(batch, context, "clean")
        labels = plain.counts.argmax(1) if batch.labels is None else batch.labels
        so_far = _SoFar(batch.images, plain, plain.counts.argmax(1) == labels)
        forwards = plain.forwards
        parts = []
        for condition in conditions:
            backwards = torch.zeros_like(forwards)
            rows = so_far.standing.nonzero().flatten()
            if len(rows):
                some = Batch(batch.images[rows], labels[rows], tuple(batch.ids[i] for i in rows.tolist()))
                x, passes = self._climb(some, float(condition.eps or 0), context)
                found = self._votes(some.with_images(x), context, condition.id)
                so_far = so_far.with_examples(rows, x, found, self._beaten(found.counts, labels[rows]))
                forwards = forwards.index_add(0, rows, passes + found.forwards)
                backwards = backwards.index_add(0, rows, passes)
            seconds, began = (time.perf_counter() - began) / len(batch), time.perf_counter()
            images = so_far.images
            parts.append(
                outcomes(
                    condition,
                    batch,
                    vote_logits(so_far.tally),
                    forwards=forwards,
                    backwards=backwards,
                    seconds=seconds,
                    distance=distance(images, batch.images, "l2"),
                    images=functools.partial(images.__getitem__),
                )
            )
            forwards = torch.zeros_like(forwards)
        return parts

    def _votes(self, batch: Batch, context: Context, name: str) -> Tally:
        return vote(
            context.oracle,
            batch.images,
            batch.ids,
            sigma=self.sigma,
            n0=0,
            n=self.votes,
            seed=context.seed,
            method=f"{self.info.name}: {name}",
        )

    def _climb(self, batch: Batch, eps: float, context: Context) -> tuple[Tensor, Tensor]:
        """The end points of the ascent, and the passes each way."""
        ball = Ball.of(batch.images, torch.full((len(batch),), eps, device=batch.images.device), "l2")
        rng = SampleRng.of(context.seed, f"{self.info.name}: {eps:.6g}", batch.ids).to(context.oracle.device)
        task = _Task(ball, required(batch.labels))
        found = drive(_Ascent(self), task, context.oracle, rng, width=max(1, context.oracle.limit // self.draws))
        return found.result.x, found.forwards

    def _beaten(self, counts: Tensor, labels: Tensor) -> Tensor:
        """Bool `[N]`: another class than the label has more votes than the runner-up beyond chance."""
        top, classes = counts.topk(2, dim=1)
        tests = [binomtest(a, a + b, 0.5).pvalue for a, b in top.tolist()]
        return (classes[:, 0] != labels) & (torch.tensor(tests, device=labels.device) <= self.alpha)


class _SoFar(State):
    """The nearest examples yet, their votes, and who stands."""

    images: Tensor
    tally: Tally
    standing: Tensor

    def with_examples(self, rows: Tensor, x: Tensor, tally: Tally, shown: Tensor) -> _SoFar:
        """Those of the rows that were shown are put in."""
        new = _SoFar(x, tally, ~shown)
        order = torch.arange(len(self.standing), device=rows.device)
        order[rows[shown]] = len(order) + shown.nonzero().flatten()
        return _SoFar.concat([self, new])[order]
