"""Gradients of a class's score by the image at several points, and by the output of a layer."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.oracle import required
from unshaken.core.query import Answer, Goal, Gradient, Passes, Query
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.explain.engine.attribution import Attribution, AttributionMap, Score, Target, TargetScore, even_piece

Channels = Literal["mean-abs", "max-abs", "sum"]
"""How the channels of a pixel become one value: mean or maximum of absolute values, or the signed sum."""


def reduce_channels(values: Tensor, channels: Channels) -> Tensor:
    """One value a pixel.

    Args:
        values: `[N, C, H, W]`.
        channels: see `Channels`.

    Returns:
        `[N, H, W]`.

    >>> import torch
    >>> pixel = torch.tensor([1.0, -3.0]).view(1, 2, 1, 1)
    >>> [float(reduce_channels(pixel, way)) for way in ("mean-abs", "max-abs", "sum")]
    [2.0, 3.0, -2.0]
    """
    if channels == "sum":
        return values.sum(1)
    return values.abs().mean(1) if channels == "mean-abs" else values.abs().amax(1)


class PointGradients(Query):
    """The gradient of a class's score at Q points a sample.

    Args:
        points: `[N, Q, C, H, W]`.
        classes: int64 `[N]`.
        score: see `Score`.
    """

    classes: Tensor
    score: Score = "logit"

    @property
    @override
    def width(self) -> int:
        return self.points.shape[1]

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        n, q = self.points.shape[:2]
        query = Gradient(
            self.points.flatten(0, 1), of=TargetScore(self.classes.repeat_interleave(q), self.score), layers=()
        )
        parts = [query[rows].evaluate(passes, None) for rows in _pieces(n * q, passes.limit)]
        found = Answer.concat(parts)
        shaped: dict[str, Any] = {
            name: required(getattr(found, name)).reshape(n, q, *getattr(found, name).shape[1:])
            for name in ("gradient", "value", "logits")
        }
        return dataclasses.replace(found, labels=None, **shaped)


class LayerGradient(Query):
    """A layer's output, and the gradient of a class's score by it.

    Args:
        points: `[N, C, H, W]`.
        classes: int64 `[N]`.
        layer: name as in `Classifier.features`.
        score: see `Score`.
    """

    classes: Tensor
    layer: str
    score: Score = "logit"

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        points = self.points.detach().requires_grad_(True)
        with torch.enable_grad():
            logits, features = passes.forward(points, (self.layer,))
            value = TargetScore(self.classes, self.score)(Answer(logits=logits))
        gradient = passes.gradient(value, features[self.layer])
        found = {self.layer: features[self.layer].detach()}
        return Answer(logits=logits.detach(), value=value.detach(), features=found, gradient=gradient)


def _pieces(count: int, size: int) -> list[slice]:
    """Consecutive slices of at most `size` rows."""
    return [slice(i, min(count, i + size)) for i in range(0, count, size)]


class OneGradient(State):
    """One row a sample.

    Args:
        target: the sample and its class.
        gradient: at the image, `[N, C, H, W]`; zeros before it was asked for.
        asked: bool `[N]`.
    """

    target: Target
    gradient: Tensor
    asked: Tensor


class SingleGradient(Attribution[OneGradient]):
    """Base class of methods that need the gradient at the image and no more. A subclass writes `values`."""

    score: Score = Field("logit", description="score that is explained: logit, probability or log-probability")
    channels: Channels = Field("mean-abs", description="how channels become one value: mean-abs, max-abs or sum")

    @abstractmethod
    def values(self, images: Tensor, gradient: Tensor) -> Tensor:
        """A value for each channel of each pixel, all `[N, C, H, W]`."""

    @override
    def start(self, target: Target, rng: SampleRng) -> OneGradient:
        return OneGradient(target, torch.zeros_like(target.images), torch.zeros_like(target.classes, dtype=torch.bool))

    @override
    def ask(self, state: OneGradient) -> Gradient:
        return Gradient(state.target.images, of=TargetScore(state.target.classes, self.score))

    @override
    def tell(self, state: OneGradient, answer: Answer) -> OneGradient:
        return state.replace(gradient=required(answer.gradient), asked=torch.ones_like(state.asked))

    @override
    def done(self, state: OneGradient) -> Tensor:
        return state.asked

    @override
    def result(self, state: OneGradient) -> AttributionMap:
        return AttributionMap(reduce_channels(self.values(state.target.images, state.gradient), self.channels))


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


class RandomPaths(AveragedGradients):
    """Base class of `E (x - b) grad z_c(b + t (x - b))`, t uniform in [0, 1]. A subclass draws the baselines b."""

    channels: Channels = Field("sum", description="how channels become one value: mean-abs, max-abs or sum")
    samples: PositiveInt = Field(50, description="number of points")
    sigma: NonNegativeFloat = Field(0.0, description="deviation of the noise added to the image, in [0, 1] pixel units")

    @abstractmethod
    def baseline(self, images: Tensor, rng: SampleRng) -> Tensor:
        """One baseline for each image, `[M, C, H, W]`.

        Args:
            images: `[M, C, H, W]`.
            rng: a stream for each.
        """

    @property
    @override
    def count(self) -> int:
        return self.samples

    def _drawn(self, target: Target, number: Tensor, rng: SampleRng) -> tuple[Tensor, Tensor, Tensor]:
        """Baselines, noisy images `[N, Q, C, H, W]`, and places on the way between, `[N, Q, 1, 1, 1]`."""
        n, q = number.shape
        own = rng.each(number)
        images = noisy = target.images.repeat_interleave(q, 0)
        if self.sigma:
            noisy = images + self.sigma * own.fold("noise").noise(*images.shape[1:]).to(images)
        parts = (self.baseline(images, own), noisy, own.fold("place").fresh(1)[:, :, None, None].to(images))
        baselines, noisy, places = (part.view(n, q, *part.shape[1:]) for part in parts)
        return baselines, noisy, places

    @override
    def points(self, target: Target, number: Tensor, rng: SampleRng) -> Tensor:
        """`b + t (x - b)`."""
        baselines, noisy, places = self._drawn(target, number, rng)
        return baselines + places * (noisy - baselines)

    @override
    def weights(self, target: Target, number: Tensor, rng: SampleRng) -> Tensor:
        baselines, noisy, _ = self._drawn(target, number, rng)
        return (noisy - baselines) / self.samples
