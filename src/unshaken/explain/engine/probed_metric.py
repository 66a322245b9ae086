"""`ProbedMetric`: metrics made from the class's score at a known number of changed copies of each image."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import widen
from unshaken.core.driver import drive
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Answer, Goal, Logits, Passes
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.explain.engine.masked import CHUNK
from unshaken.explain.engine.metric import Case, MapMetric, MapScores
from unshaken.explain.engine.substrate import Substrate, substrate_of
from unshaken.explain.engine.target import Score, score_of


class MapTarget(State):
    """Maps to judge, one row a sample.

    Args:
        images: `[N, C, H, W]`.
        maps: `[N, H, W]`.
        classes: the classes explained, int64 `[N]`.
        rng: the samples' streams.
        removed: what stands in the place of removed pixels, `[N, C, H, W]`.
    """

    images: Tensor
    maps: Tensor
    classes: Tensor
    rng: SampleRng
    removed: Tensor


class Probes(Logits):
    """Changed copies of the images, `[N, Q, C, H, W]`, and what the map expects of each.

    Args:
        expected: `[N, Q]`; None where a metric expects nothing of a single copy.
    """

    expected: Tensor | None = None

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        return dataclasses.replace(super().evaluate(passes, None), value=self.expected)


class Probing(State):
    """One row a sample.

    Args:
        target: the sample and its map.
        asked: int64 `[N]`: copies asked about.
        scores: of the copies, `[N, T + 1]`; the last column is for copies that do not count.
        expected: as `scores`.
    """

    target: MapTarget
    asked: Tensor
    scores: Tensor
    expected: Tensor


class ProbedMetric(MapMetric):
    """Base class of metrics that look at the score of T changed copies of each image, some at a time.

    A subclass writes `count`, `probes` and `finish`.
    """

    score: Score = Field("probability", description="score that is looked at: logit, probability or log-probability")

    @abstractmethod
    def count(self, height: int, width: int) -> int:
        """Number T of copies of an image of this size."""

    @abstractmethod
    def probes(self, target: MapTarget, number: Tensor) -> Probes:
        """Some of the copies.

        Args:
            target: the samples.
            number: which copies, int64 `[N, Q]`, from 0 to T - 1.
        """

    @abstractmethod
    def finish(self, target: MapTarget, scores: Tensor, expected: Tensor) -> Tensor:
        """From all copies to the metric's value `[N]`.

        Args:
            target: the samples.
            scores: float64 `[N, T]`.
            expected: float64 `[N, T]`; 0 where nothing was expected.
        """

    def removed(self, images: Tensor, rng: SampleRng, model: Classifier) -> Tensor:
        """What stands in the place of removed pixels, `[N, C, H, W]`; the images where none are removed."""
        return images

    @override
    def judge(self, case: Case) -> MapScores:
        with evaluating(case.model):
            oracle = Oracle(case.model, limit=case.limit)
            total = self.count(*case.images.shape[2:])
            rng = SampleRng.of(case.seed, f"explain {self.info.name}", case.ids).to(case.images.device)
            cases = MapTarget(case.images, case.maps, case.classes, rng, case.images)
            outcome = drive(_Search(self, case.model, total), cases, oracle, rng, width=max(1, case.limit // CHUNK))
        return MapScores(outcome.result.value.cpu(), outcome.forwards.cpu(), outcome.backwards.cpu())


class RemovalMetric(ProbedMetric):
    """Base class of those whose copies have pixels removed."""

    substrate: Substrate = Field(
        "model-mean", description="removed pixels: model-mean, blur, black, grey, white, mean or noise"
    )

    @override
    def removed(self, images: Tensor, rng: SampleRng, model: Classifier) -> Tensor:
        return substrate_of(images, self.substrate, rng, model)


class _Value(State):
    value: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """A metric as a search: as few queries of `CHUNK` copies at most as will do, all of the same size."""

    metric: ProbedMetric
    model: Classifier
    total: int

    @property
    def size(self) -> int:
        return -(-self.total // -(-self.total // CHUNK))

    def _numbers(self, state: Probing) -> Tensor:
        return state.asked[:, None] + torch.arange(self.size, device=state.asked.device)

    def start(self, samples: MapTarget, rng: SampleRng) -> Probing:
        target = samples.replace(removed=self.metric.removed(samples.images, rng, self.model))
        empty = widen(target.images.new_zeros(len(target.images), self.total + 1))
        return Probing(target, torch.zeros_like(target.classes), empty, empty)

    def ask(self, state: Probing) -> Probes:
        return self.metric.probes(state.target, self._numbers(state).clamp(max=self.total - 1))

    def tell(self, state: Probing, answer: Answer) -> Probing:
        place = self._numbers(state).clamp(max=self.total)
        logits = widen(required(answer.logits))
        scores = score_of(logits, state.target.classes[:, None].expand(logits.shape[:2]), self.metric.score)
        expected = state.expected
        if answer.value is not None:
            expected = expected.scatter(1, place, widen(answer.value))
        return state.replace(
            asked=state.asked + self.size, scores=state.scores.scatter(1, place, scores), expected=expected
        )

    def done(self, state: Probing) -> Tensor:
        return state.asked >= self.total

    def result(self, state: Probing) -> _Value:
        return _Value(self.metric.finish(state.target, state.scores[:, :-1], state.expected[:, :-1]))

    def goal(self, state: Probing) -> None:
        return None
