"""Attacks on randomised classifiers, through the noise: what is left standing must lie above every certificate."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.step_length import StepLength
from unshaken.certify.engine.base import Certifier
from unshaken.core.batch import Batch
from unshaken.core.classifier import NO_CLASS, predict
from unshaken.core.context import Context
from unshaken.core.driver import drive
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Answer, Goal, Query
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

Asker = Callable[[Tensor, Tensor, Tensor], Query]
"""From points `[N, C, H, W]`, labels `[N]` and noises of deviation 1 `[N, M, C, H, W]` to a gradient's query."""


class VoteOutcome(State):
    """Result of fresh votes on images.

    Args:
        logits: log of the classifier's estimated probabilities, `[N, K]`.
        winner: the class that they show to win, beyond chance; -1 where they show none. int64 `[N]`.
        forwards: passes, int64 `[N]`.
    """

    logits: Tensor
    winner: Tensor
    forwards: Tensor


@dataclass(frozen=True, slots=True)
class NoiseResult:
    """Result of an attack under one radius.

    Args:
        images: the nearest examples yet, `[N, C, H, W]`; the image itself where none was found.
        logits: log of the classifier's estimated probabilities there, `[N, K]`.
        forwards: passes of this radius, int64 `[N]`.
        backwards: as `forwards`.
        seconds: a sample's share of the time.
    """

    images: Tensor
    logits: Tensor
    forwards: Tensor
    backwards: Tensor
    seconds: float


class NoiseAttack(StepLength, Certifier):
    """PGD through fresh noise at every step, in l2.

    An example counts only where fresh votes show, beyond chance, that another class than the label wins there. A sample
    that the classifier gets wrong without any change is left alone. Without labels, the class of the unchanged image is
    attacked.
    """

    needs = frozenset({"logits", "gradient"})
    gives_certificates = False

    sigma: PositiveFloat = Field(default=0.25, description="deviation of the noise, in [0, 1] pixel units")
    steps: PositiveInt = Field(default=10, description="gradient steps")
    rel_stepsize: PositiveFloat = Field(default=0.25, description="length of a step, as a share of eps")
    copies: PositiveInt = Field(default=8, description="number of noisy copies per gradient")
    n: PositiveInt = Field(default=1000, description="number of noisy copies that classify the final image")

    @override
    def most_passes(self, classes: int) -> int | None:
        return 2 * self.steps * self.copies + self.n

    @abstractmethod
    def asker(self, oracle: Oracle, batch: Batch) -> Asker:
        """How the gradient of the classifier's loss is asked for."""

    @abstractmethod
    def count_votes(self, batch: Batch, context: Context, stream: str) -> VoteOutcome:
        """Fresh votes, drawn from a stream of this name, at a batch's images."""

    def attack(self, batch: Batch, radii: Mapping[float, str], context: Context) -> Iterator[NoiseResult]:
        """Attack under each radius, one after the other; an example found within a smaller one stands.

        Args:
            batch: images `[N, C, H, W]` on the model's device; without labels, the class of each image is attacked.
            radii: in l2, rising, with the name of each, of which the stream of its votes is made.
            context: of the run.

        Raises:
            ModelError: the model gives no gradients.
        """
        context.oracle.check_gradients()
        began = time.perf_counter()
        plain = self.count_votes(batch, context, f"{self.info.name}: clean")
        predicted = predict(plain.logits)
        labels = predicted.clamp_min(0) if batch.labels is None else batch.labels
        best = _BestExamples(batch.images, plain.logits, predicted == labels)
        forwards = plain.forwards
        for radius, name in radii.items():
            backwards = torch.zeros_like(forwards)
            rows = best.standing.nonzero().flatten()
            if len(rows):
                some = Batch(batch.images[rows], labels[rows], tuple(batch.ids[i] for i in rows.tolist()))
                x, there, back = self._ascend(some, radius, context)
                found = self.count_votes(some.with_images(x), context, f"{self.info.name}: {name}")
                beaten = (found.winner >= 0) & (found.winner != labels[rows])
                beaten |= predict(found.logits) == NO_CLASS
                best = best.with_examples(rows, x, found.logits, beaten)
                forwards = forwards.index_add(0, rows, there + found.forwards)
                backwards = backwards.index_add(0, rows, back)
            seconds, began = (time.perf_counter() - began) / len(batch), time.perf_counter()
            yield NoiseResult(best.images, best.logits, forwards, backwards, seconds)
            forwards = torch.zeros_like(forwards)

    def _ascend(self, batch: Batch, eps: float, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """The end points of the ascent, and its forward and backward passes."""
        ball = Ball.of(batch.images, torch.full((len(batch),), eps, device=batch.images.device), "l2")
        rng = SampleRng.of(context.seed, f"{self.info.name}: {eps:.6g}", batch.ids).to(context.oracle.device)
        ascent = _Ascent(self, self.asker(context.oracle, batch))
        width = max(1, context.oracle.limit // self.copies)
        found = drive(ascent, _Samples(ball, required(batch.labels)), context.oracle, rng, width=width)
        return found.result.x, found.forwards, found.backwards


class _Samples(State):
    ball: Ball
    labels: Tensor


class _AscentState(State):
    samples: _Samples
    rng: SampleRng
    x: Tensor
    step: Tensor


class _EndPoint(State):
    x: Tensor


class _Ascent:
    """Projected gradient ascent through fresh noise at every step."""

    def __init__(self, rule: NoiseAttack, asker: Asker) -> None:
        self.rule, self.asker = rule, asker

    def start(self, samples: _Samples, rng: SampleRng) -> _AscentState:
        return _AscentState(samples, rng, samples.ball.clean, torch.zeros_like(samples.labels))

    def ask(self, state: _AscentState) -> Query:
        noises = state.rng.fold(state.step).normal(self.rule.copies, *state.x.shape[1:])
        return self.asker(state.x, state.samples.labels, noises.to(state.x))

    def tell(self, state: _AscentState, answer: Answer) -> _AscentState:
        ball = state.samples.ball
        direction = ball.steepest(required(answer.gradient), state.x)
        x = ball.project(state.x + self.rule.step_length(ball) * direction)
        return state.replace(x=x, step=state.step + 1)

    def done(self, state: _AscentState) -> Tensor:
        return state.step >= self.rule.steps

    def result(self, state: _AscentState) -> _EndPoint:
        return _EndPoint(state.x)

    def goal(self, state: _AscentState) -> Goal | None:
        return None


class _BestExamples(State):
    """The nearest examples yet, their logits, and which samples still stand."""

    images: Tensor
    logits: Tensor
    standing: Tensor

    def with_examples(self, rows: Tensor, x: Tensor, logits: Tensor, beaten: Tensor) -> _BestExamples:
        """The examples with those of some rows put in, where these are beaten."""
        new = _BestExamples(x, logits, ~beaten)
        order = torch.arange(len(self.standing), device=rows.device)
        order[rows[beaten]] = len(order) + beaten.nonzero().flatten()
        return _BestExamples.concat([self, new])[order]
