"""`AveragedGradients`: maps made from a weighted mean of gradients at many points."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.oracle import required
from unshaken.core.query import Answer
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.explain.engine.attribution import Attribution, AttributionMap
from unshaken.explain.engine.gradients import PointGradients
from unshaken.explain.engine.pieces import even_piece
from unshaken.explain.engine.reduce import Channels, reduce_channels
from unshaken.explain.engine.target import Score, Target

CHUNK = 16
"""Points a sample in one query at most: whatever the batch, sums are taken in the same pieces."""


class Averaging(State):
    """One row a sample.

    Args:
        target: the sample and its class.
        rng: the sample's streams.
        asked: int64 `[N]`: points asked about.
        total: the weighted sum of gradients so far, `[N, C, H, W]`.
        scores: the weighted sum of scores so far, `[N]`; see `AveragedGradients.score_weights`.
    """

    target: Target
    rng: SampleRng
    asked: Tensor
    total: Tensor
    scores: Tensor


class AveragedGradients(Attribution[Averaging]):
    """Base class of methods that take the mean of gradients at points chosen before.

    A subclass writes `count`, `points` and `finish`.
    """

    repeated: ClassVar[bool] = True

    score: Score = Field("logit", description="score that is explained: logit, probability or log-probability")
    channels: Channels = Field("mean-abs", description="how channels become one value: mean-abs, max-abs or sum")

    @property
    @abstractmethod
    def count(self) -> int:
        """Number of points a sample."""

    @abstractmethod
    def points(self, target: Target, number: Tensor, rng: SampleRng) -> Tensor:
        """Points `[N, Q, C, H, W]`.

        Args:
            target: the samples.
            number: which points, int64 `[N, Q]`, each below `count`.
            rng: the samples' streams.
        """

    def weights(self, target: Target, number: Tensor, rng: SampleRng) -> Tensor:
        """Factors of the gradients in their sum: `[N, Q]`, or in the points' shape."""
        return torch.full_like(number, 1 / self.count, dtype=torch.float32)

    def score_weights(self, number: Tensor) -> Tensor:
        """Factors of the scores in a sum of their own, `[N, Q]`."""
        return torch.zeros_like(number, dtype=torch.float32)

    def finish(self, target: Target, total: Tensor, scores: Tensor) -> AttributionMap:
        """From the sums to maps.

        Args:
            target: the samples.
            total: weighted sum of gradients, `[N, C, H, W]`.
            scores: weighted sum of scores, `[N]`.
        """
        return AttributionMap(reduce_channels(total, self.channels))

    @property
    @override
    def width(self) -> int:
        return even_piece(self.count, CHUNK)

    @override
    def start(self, target: Target, rng: SampleRng) -> Averaging:
        none = torch.zeros_like(target.classes)
        return Averaging(target, rng, none, torch.zeros_like(target.images), target.images.new_zeros(len(none)))

    def _numbers(self, state: Averaging) -> Tensor:
        return state.asked[:, None] + torch.arange(self.width, device=state.asked.device)

    @override
    def ask(self, state: Averaging) -> PointGradients:
        number = self._numbers(state).clamp(max=self.count - 1)
        return PointGradients(self.points(state.target, number, state.rng), state.target.classes, self.score)

    @override
    def tell(self, state: Averaging, answer: Answer) -> Averaging:
        number, gradient, value = self._numbers(state), required(answer.gradient), required(answer.value)
        asked, number = number < self.count, number.clamp(max=self.count - 1)
        weights = _like(self.weights(state.target, number, state.rng), gradient) * _like(asked, gradient)
        scores = (value * self.score_weights(number) * asked).sum(1)
        return state.replace(
            asked=state.asked + self.width,
            total=state.total + (gradient * weights).sum(1),
            scores=state.scores + scores,
        )

    @override
    def done(self, state: Averaging) -> Tensor:
        return state.asked >= self.count

    @override
    def result(self, state: Averaging) -> AttributionMap:
        return self.finish(state.target, state.total, state.scores)


def _like(weights: Tensor, points: Tensor) -> Tensor:
    """Weights with as many dimensions as points have."""
    return weights.view(*weights.shape, *[1] * (points.ndim - weights.ndim))
