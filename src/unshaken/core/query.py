"""Queries that a search may send to a model, and the answer. A further kind of query is one more class."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import NO_CLASS, predict
from unshaken.core.device import send
from unshaken.core.rng import SampleRng
from unshaken.core.state import State


class Answer(State):
    """Answer of a model to a query, one row per sample; fields that were not requested are None.

    Args:
        logits: `[N, K]`, or `[N, Q, K]` where Q points a sample were asked for.
        labels: int64 `[N]` (or `[N, Q]`), the class of the largest logit, or `NO_CLASS`; see `predict`.
        features: layer name to output `[N, ...]`.
        value: the objective `[N]`.
        gradient: of the objective by the points, in their shape.
        slopes: gradients of several logits' differences, `[N, Q, C, H, W]`.
        counts: votes a class, int64 `[N, K]`; a noisy copy without a usable output votes for none.
        stopped: bool `[N]`, on the CPU, where the driver decides: the goal handed in with the query was met at the
            point.
        cut: bool `[N]`: because of that the rest of the answer was left out; None when nothing was.
        forwards: passes spent on the sample, int64 `[N]`.
        backwards: as `forwards`.
    """

    logits: Tensor | None = None
    labels: Tensor | None = None
    features: dict[str, Tensor] | None = None
    value: Tensor | None = None
    gradient: Tensor | None = None
    slopes: Tensor | None = None
    counts: Tensor | None = None
    stopped: Tensor | None = None
    cut: Tensor | None = None
    forwards: Tensor | None = None
    backwards: Tensor | None = None


class Objective(State):
    """A differentiable figure of a model's answer, one a sample, such as a loss against labels."""

    @abstractmethod
    def __call__(self, answer: Answer) -> Tensor:
        """From an answer with logits (and the features asked for) to `[N]`."""


class Goal(State):
    """Success test of a search, on points and their logits."""

    @abstractmethod
    def __call__(self, points: Tensor, logits: Tensor) -> Tensor:
        """From points `[N, ...]` and their logits `[N, K]` to bool `[N]`."""


class Passes(Protocol):
    """Runs the model for a query, and counts its passes."""

    draws: int
    limit: int

    def forward(self, images: Tensor, layers: tuple[str, ...] = ()) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits and features of `[M, C, H, W]`, with a graph where gradients are on."""

    def gradient(self, value: Tensor, points: Tensor, *, keep: bool = False) -> Tensor:
        """The gradient of `value.sum()` by `points`, one backward pass a point; `keep` the graph for another."""

    def gradients(self, value: Tensor, places: Sequence[Tensor]) -> list[Tensor]:
        """The gradients of `value.sum()` by several tensors, in one backward pass a row of `value`."""

    def method(self) -> AbstractContextManager[None]:
        """Times a method's own arithmetic, such as an objective."""

    def chunks(self, images: Tensor, function: Callable[[Tensor], Answer]) -> Answer:
        """`function` over pieces that fit the memory, joined."""


def gradients_by(value: Tensor, places: Sequence[Tensor], *, keep: bool = False) -> list[Tensor]:
    """The gradients of `value.sum()` by several tensors, zero by one that has no part in it.

    Args:
        value: `[N]`.
        places: what it was computed from.
        keep: the graph, for another gradient.
    """
    if not value.requires_grad:
        return [torch.zeros_like(x) for x in places]
    with torch.enable_grad():  # the caller may be under no_grad
        total = value.sum()  # of one number torch asks no weights, for whose shapes it would import sympy
    found = torch.autograd.grad(total, places, allow_unused=True, retain_graph=keep)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(places, found, strict=True)]


class Query(State):
    """Points, one row per sample, and what to compute at them."""

    points: Tensor

    @abstractmethod
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        """Evaluate the query on the model; the rest may be skipped when the goal is met for every row."""

    @property
    def width(self) -> int:
        """Images a row that one evaluation holds in memory at once."""
        return 1


class Logits(Query):
    """Logits of points `[N, C, H, W]`, or of Q points a sample `[N, Q, C, H, W]`."""

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        flat, shape = _flat(self.points)

        def forward_pass(x: Tensor) -> Answer:
            total = passes.forward(x)[0]
            for _ in range(1, passes.draws):
                total = total + passes.forward(x)[0]
            return Answer(logits=total if passes.draws == 1 else total / passes.draws)

        with torch.inference_mode():
            answer = passes.chunks(flat, forward_pass)
        logits = _logits(answer, shape).clone()  # a plain tensor again
        stopped = goal(self.points, logits).cpu() if goal is not None and logits.ndim == 2 else None
        return Answer(logits=logits, labels=predict(logits), stopped=stopped)


class Labels(Query):
    """The predicted class alone, of one or Q points a sample: all that a decision-based search may see."""

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        return dataclasses.replace(Logits(self.points).evaluate(passes, goal), logits=None)


class Features(Query):
    """Logits and the outputs of named layers."""

    layers: tuple[str, ...]

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        flat, shape = _flat(self.points)

        def forward_pass(x: Tensor) -> Answer:
            logits, features = passes.forward(x, self.layers)
            return Answer(logits=logits, features=features)

        with torch.no_grad():
            answer = passes.chunks(flat, forward_pass)
        logits = _logits(answer, shape)
        features = {k: v.reshape(*shape, *v.shape[1:]) for k, v in (answer.features or {}).items()}
        return Answer(logits=logits, labels=predict(logits), features=features)


class Gradient(Query):
    """The gradient of a per-sample objective by the points `[N, C, H, W]`, with logits and the objective's value.

    Args:
        points: where.
        of: the objective; it sees the answer's logits, and the features of `layers`.
        layers: names of layers whose features the objective needs.
    """

    of: Objective
    layers: tuple[str, ...] = ()

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        """A forward pass; then, unless the goal is met for all rows, a backward pass.

        For a model with randomness of its own all are means of `passes.draws` passes (EoT).
        """
        points = self.points.detach().requires_grad_(True)
        sums: list[Tensor] = []
        stopped: Tensor | None = None
        for draw in range(passes.draws):
            with torch.enable_grad():
                logits, features = passes.forward(points, self.layers)
                if draw == 0 and goal is not None:
                    with passes.method():
                        stopped = goal(self.points, logits.detach()).cpu()
                    if bool(stopped.all()):
                        return self._detached_answer(logits, features, stopped=stopped, cut=stopped)
                with passes.method():
                    value = self.of(Answer(logits=logits, features=features))
            new = [passes.gradient(value, points), value.detach(), logits.detach()]
            sums = [a + b for a, b in zip(sums, new, strict=True)] if sums else new
        gradient, value, logits = sums if passes.draws == 1 else [s / passes.draws for s in sums]
        return self._detached_answer(logits, features, value=value, gradient=gradient, stopped=stopped)

    @staticmethod
    def _detached_answer(logits: Tensor, features: dict[str, Tensor], **rest: Tensor | None) -> Answer:
        logits, found = logits.detach(), {k: v.detach() for k, v in features.items()}
        return Answer(logits=logits, labels=predict(logits), features=found or None, **rest)


class Slopes(Query):
    """Gradients of the differences `z_k - z_y` for several classes k at once, with the logits.

    Args:
        points: `[N, C, H, W]`.
        labels: int64 `[N]`: the class y.
        classes: int64 `[N, Q]`: the classes k.
    """

    labels: Tensor
    classes: Tensor

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        """A forward pass; then, unless the goal is met for all rows, a backward pass for each of the Q classes.

        For a model with randomness of its own, logits and gradients of `passes.draws` passes are averaged (EoT).
        """
        points = self.points.detach().requires_grad_(True)
        sums: list[Tensor] = []
        stopped: Tensor | None = None
        last = self.classes.shape[1] - 1
        for draw in range(passes.draws):
            with torch.enable_grad():
                logits, _ = passes.forward(points)
                if draw == 0 and goal is not None:
                    with passes.method():
                        stopped = goal(self.points, logits.detach()).cpu()
                    if bool(stopped.all()):
                        found = logits.detach()
                        return Answer(logits=found, labels=predict(found), stopped=stopped, cut=stopped)
                away = logits.gather(1, self.classes) - logits.gather(1, self.labels[:, None])
            rows = [passes.gradient(away[:, q], points, keep=q < last) for q in range(last + 1)]
            new = [torch.stack(rows, 1), logits.detach()]
            sums = [a + b for a, b in zip(sums, new, strict=True)] if sums else new
        slopes, logits = sums if passes.draws == 1 else [s / passes.draws for s in sums]
        return Answer(logits=logits, labels=predict(logits), slopes=slopes, stopped=stopped)


class Votes(Query):
    """Class counts over copies of the points with Gaussian noise.

    The noise is float32, is not clipped, and is made as it is needed: no copy of a point is kept.

    Args:
        points: `[N, C, H, W]`.
        rng: the samples' streams.
        first: int64 `[N]`: number of the first draw; draw j of a sample is the same whoever asks for it, and when.
        draws: int64 `[N]`: noisy copies of each sample, 0 or more; both best on the CPU, where the noise is made.
        sigma: standard deviation of the noise, in [0, 1] pixel units.
    """

    rng: SampleRng
    first: Tensor
    draws: Tensor
    sigma: float

    @property
    @override
    def width(self) -> int:
        return max(1, int(self.draws.max()))

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        draws, device = self.draws.cpu(), self.points.device
        row = torch.arange(len(self.points)).repeat_interleave(draws)
        number = torch.arange(len(row)) - (draws.cumsum(0) - draws - self.first.cpu())[row]
        rng, votes, classes = self.rng.to(row.device), torch.zeros(0, dtype=torch.int64), 0
        with torch.inference_mode():
            for rows, numbers in zip(torch.split(row, passes.limit), torch.split(number, passes.limit), strict=True):
                with passes.method():
                    noise = rng[rows].fold(numbers).drawn_on(device).noise(*self.points.shape[1:]).to(self.points)
                    there = send(rows, device)
                    noisy = noise.mul_(self.sigma).add_(self.points[there])
                logits = passes.forward(noisy)[0]
                if not classes:
                    classes = logits.shape[1]
                    votes = torch.zeros(len(self.points) * classes + 1, dtype=torch.int64, device=device)
                voted = predict(logits)  # a vote for no class goes into the last place
                place = torch.where(voted == NO_CLASS, len(votes) - 1, voted + there * classes)
                votes.index_add_(0, place, torch.ones_like(place))
        counts = votes[:-1].view(len(self.points), classes)
        forwards = send(draws, device)
        return Answer(counts=counts, forwards=forwards, backwards=torch.zeros_like(forwards))


def _logits(answer: Answer, shape: tuple[int, ...]) -> Tensor:
    return torch.empty(0) if answer.logits is None else answer.logits.reshape(*shape, -1)


def _flat(points: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    return (points.flatten(0, 1), tuple(points.shape[:2])) if points.ndim == 5 else (points, tuple(points.shape[:1]))
