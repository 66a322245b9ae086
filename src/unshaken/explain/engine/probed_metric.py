"""`ProbedMetric`: metrics made from the class's score at changed copies of each image, and areas under its curve."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, NonNegativeInt, model_validator
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import widen
from unshaken.core.driver import drive
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Answer, Goal, Logits, Passes
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.explain.engine.attribution import Score, score_of
from unshaken.explain.engine.baselines import Substrate, substrate_of
from unshaken.explain.engine.masked import CHUNK
from unshaken.explain.engine.metric import Case, MapMetric, MapScores


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
    """State of the search, one row a sample.

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

    score: Score = Field(
        default="probability", description="score that is looked at: logit, probability or log-probability"
    )

    @abstractmethod
    def count(self, height: int, width: int) -> int:
        """Number T of copies of an image of this size."""

    @abstractmethod
    def probes(self, target: MapTarget, number: Tensor) -> Probes:
        """Make some of the copies.

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
        """Replacement of removed pixels, `[N, C, H, W]`; the images where none are removed."""
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
        default="model-mean", description="removed pixels: model-mean, blur, black, grey, white, mean or noise"
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
        scores = score_of(widen(required(answer.logits)), state.target.classes, self.metric.score)
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


def area_under_curve(curves: Tensor) -> Tensor:
    """The area under a curve of n points at equal distances on [0, 1]: `(sum_i p_i - p_1/2 - p_n/2) / (n - 1)`.

    Args:
        curves: `[..., n]`, n at least 2.

    Returns:
        `[...]`.

    >>> area_under_curve(torch.tensor([1, 0.6, 0.3, 0.1, 0], dtype=torch.float64)).item()
    0.375
    """
    return (curves.sum(-1) - curves[..., 0] / 2 - curves[..., -1] / 2) / (curves.shape[-1] - 1)


def removal_ranks(maps: Tensor) -> Tensor:
    """Each pixel's place in the descending order of the map; of equal pixels the first comes first.

    Args:
        maps: `[N, H, W]`.

    Returns:
        int64 `[N, H, W]`, from 0.
    """
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).view_as(maps)


class PerturbationCurve(RemovalMetric):
    """Base class of insertion and deletion: a subclass says which of two images the curve begins with.

    Raw areas follow the model's confidence: a model that says `p` of every image has the area `p` for every map.
    With `corrected` the value is `(area - area of a random order) / p(clean image)` of the same sample.
    """

    score: Literal["probability", "logit"] = Field(
        default="probability", description="score that is looked at: probability or logit"
    )
    steps: NonNegativeInt = Field(default=0, description="number of steps; 0 for one row of the image a step")
    corrected: bool = Field(
        default=False, description="minus the area of a random order, and divided by the clean confidence"
    )
    removes: ClassVar[bool]

    @model_validator(mode="after")
    def _check_score(self) -> Self:
        if self.corrected and self.score != "probability":
            raise ValueError("a logit has no scale to be corrected by: use score=probability with corrected=true")
        return self

    def _steps(self, height: int, width: int) -> int:
        return min(self.steps or height, height * width)

    @override
    def count(self, height: int, width: int) -> int:
        steps = self._steps(height, width)
        return 2 * steps if self.corrected else steps + 1

    @override
    def probes(self, target: MapTarget, number: Tensor) -> Probes:
        """Copy k of K has the first `k H W / K` pixels exchanged."""
        height, width = target.maps.shape[1:]
        steps, pixels = self._steps(height, width), height * width
        ranks = removal_ranks(target.maps)[:, None]
        at = number
        if self.corrected:
            drawn = target.rng.fold("order").uniform(height, width).to(target.maps)
            ranks = torch.where((number > steps)[:, :, None, None], removal_ranks(drawn)[:, None], ranks)
            at = torch.where(number > steps, number - steps, number)
        changed = ranks < (at * pixels // steps)[:, :, None, None]
        first, last = (target.images, target.removed) if self.removes else (target.removed, target.images)
        return Probes(torch.where(changed[:, :, None], last[:, None], first[:, None]))

    @override
    def finish(self, target: MapTarget, scores: Tensor, expected: Tensor) -> Tensor:
        steps = self._steps(*target.maps.shape[1:])
        curve = scores[:, : steps + 1]
        area = area_under_curve(curve)
        if not self.corrected:
            return area
        control = torch.cat([curve[:, :1], scores[:, steps + 1 :], curve[:, -1:]], 1)
        clean = curve[:, 0] if self.removes else curve[:, -1]
        return torch.where(clean > 0, (area - area_under_curve(control)) / clean, torch.nan)
