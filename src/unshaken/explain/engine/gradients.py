"""Gradients of a class's score, and the maps that are made of them: at the image, at many points, and by a layer."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Goal, Gradient, Passes, Query
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.explain.engine.attribution import (
    Attribution,
    AttributionMap,
    MapState,
    OneQuery,
    Score,
    Target,
    TargetScore,
    even_piece,
)
from unshaken.explain.engine.layers import find_map_layer

Channels = Literal["mean-abs", "max-abs", "sum"]
"""How the channels of a pixel become one value: mean or maximum of absolute values, or the signed sum."""


def reduce_channels(values: Tensor, channels: Channels) -> Tensor:
    """Reduce the channels of each pixel to one value.

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
    score: Score

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
        pieces = [slice(i, i + passes.limit) for i in range(0, n * q, passes.limit)]
        found = Answer.concat([query[rows].evaluate(passes, None) for rows in pieces])
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


class SingleGradient(OneQuery):
    """Base class of methods that need the gradient at the image and no more. A subclass writes `values`."""

    score: Score = Field(default="logit", description="score that is explained: logit, probability or log-probability")
    channels: Channels = Field(
        default="mean-abs", description="how channels become one value: mean-abs, max-abs or sum"
    )

    @abstractmethod
    def values(self, images: Tensor, gradient: Tensor) -> Tensor:
        """A value for each channel of each pixel, all `[N, C, H, W]`."""

    @override
    def ask(self, state: MapState) -> Gradient:
        return Gradient(state.target.images, of=TargetScore(state.target.classes, self.score))

    @override
    def make_map(self, images: Tensor, answer: Answer) -> Tensor:
        return reduce_channels(self.values(images, required(answer.gradient)), self.channels)


CHUNK = 16
"""Points a sample in one query at most: whatever the batch, sums are taken in the same pieces."""


class Terms(NamedTuple):
    """Q terms of the sums `sum_q w_q grad F(x_q)` and `sum_q v_q F(x_q)`, with F the score of the class.

    Args:
        points: x, `[N, Q, C, H, W]`.
        weights: w, `[N, Q]` or in the points' shape; None for 1 over the number of all points.
        score_weights: v, `[N, Q]`; None for 0.
    """

    points: Tensor
    weights: Tensor | None = None
    score_weights: Tensor | None = None


class WeightedGradients(PointGradients):
    """The weighted sums of the gradients and of the scores at Q points a sample; see `Terms`.

    Args:
        points: x, `[N, Q, C, H, W]`.
        weights: w, `[N, Q, 1, 1, 1]` or in the points' shape.
        score_weights: v, `[N, Q]`.
    """

    weights: Tensor
    score_weights: Tensor

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        found = super().evaluate(passes, None)
        gradient = (required(found.gradient) * self.weights).sum(1)
        return dataclasses.replace(found, gradient=gradient, value=(required(found.value) * self.score_weights).sum(1))


class Averaging(State):
    """State of the search, one row a sample.

    Args:
        target: the sample and its class.
        rng: the sample's streams.
        asked: int64 `[N]`: points asked about.
        total: the weighted sum of gradients so far, `[N, C, H, W]`.
        scores: the weighted sum of scores so far, `[N]`.
    """

    target: Target
    rng: SampleRng
    asked: Tensor
    total: Tensor
    scores: Tensor


class AveragedGradients(Attribution[Averaging]):
    """Base class of methods that take a weighted mean of gradients at points chosen before.

    A subclass writes `count` and `terms`.
    """

    repeated: ClassVar[bool] = True

    score: Score = Field(default="logit", description="score that is explained: logit, probability or log-probability")
    channels: Channels = Field(
        default="mean-abs", description="how channels become one value: mean-abs, max-abs or sum"
    )

    @property
    @abstractmethod
    def count(self) -> int:
        """Number of points a sample."""

    @abstractmethod
    def terms(self, target: Target, number: Tensor, rng: SampleRng) -> Terms:
        """Some terms of the sums.

        Args:
            target: the samples.
            number: which terms, int64 `[N, Q]`, each below `count`.
            rng: the samples' streams.
        """

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

    @override
    def ask(self, state: Averaging) -> WeightedGradients:
        number = state.asked[:, None] + torch.arange(self.width, device=state.asked.device)
        counts = (number < self.count).to(state.total)
        points, weights, score_weights = self.terms(state.target, number.clamp(max=self.count - 1), state.rng)
        weights = torch.full_like(counts, 1 / self.count) if weights is None else weights
        score_weights = torch.zeros_like(counts) if score_weights is None else score_weights
        return WeightedGradients(
            points, state.target.classes, self.score, over_pixels(weights) * over_pixels(counts), score_weights * counts
        )

    @override
    def tell(self, state: Averaging, answer: Answer) -> Averaging:
        return state.replace(
            asked=state.asked + self.width,
            total=state.total + required(answer.gradient),
            scores=state.scores + required(answer.value),
        )

    @override
    def done(self, state: Averaging) -> Tensor:
        return state.asked >= self.count

    @override
    def result(self, state: Averaging) -> AttributionMap:
        return self.finish(state.target, state.total, state.scores)


def over_pixels(weights: Tensor) -> Tensor:
    """Weights `[N, Q]` with the dimensions of points, `[N, Q, 1, 1, 1]`; those that have them stay."""
    return weights if weights.ndim > 2 else weights[:, :, None, None, None]


class RandomPaths(AveragedGradients):
    """Base class of `E (x - b) grad z_c(b + t (x - b))`, t uniform in [0, 1]. A subclass draws the baselines b."""

    channels: Channels = Field(default="sum", description="how channels become one value: mean-abs, max-abs or sum")
    samples: PositiveInt = Field(default=50, description="number of points")
    sigma: NonNegativeFloat = Field(
        default=0.0, description="deviation of the noise added to the image, in [0, 1] pixel units"
    )

    @abstractmethod
    def baseline(self, images: Tensor, rng: SampleRng) -> Tensor:
        """Draw a baseline for each image, `[M, C, H, W]`.

        Args:
            images: `[M, C, H, W]`.
            rng: a stream for each.
        """

    @property
    @override
    def count(self) -> int:
        return self.samples

    @override
    def terms(self, target: Target, number: Tensor, rng: SampleRng) -> Terms:
        """The points `b + t (x - b)` and the weights `(x - b) / samples`."""
        n, q = number.shape
        own = rng.each(number)
        images = noisy = target.images.repeat_interleave(q, 0)
        if self.sigma:
            noisy = images + self.sigma * own.fold("noise").noise(*images.shape[1:]).to(images)
        parts = (self.baseline(images, own), noisy, own.fold("place").fresh(1)[:, :, None, None].to(images))
        b, x, t = (part.view(n, q, *part.shape[1:]) for part in parts)
        return Terms(b + t * (x - b), (x - b) / self.samples)


class ActivationMap(OneQuery):
    """Base class of class activation maps. A subclass writes `combine`."""

    score: Score = Field(default="logit", description="score that is explained: logit, probability or log-probability")
    layer: str = Field(default="", description="name of the layer; empty for the last one whose output has places")

    @override
    def prepare(self, model: Classifier, images: Tensor) -> Self:
        layer, _ = find_map_layer(model, images, self.layer)
        return self.model_copy(update={"layer": layer})

    @abstractmethod
    def combine(self, outputs: Tensor, gradient: Tensor) -> Tensor:
        """From a layer's outputs A and the gradients `d z_c / d A`, both `[N, D, h, w]`, to maps `[N, h, w]`."""

    @override
    def ask(self, state: MapState) -> LayerGradient:
        return LayerGradient(state.target.images, state.target.classes, self.layer, self.score)

    @override
    def make_map(self, images: Tensor, answer: Answer) -> Tensor:
        outputs = (answer.features or {})[self.layer]
        return enlarged(self.combine(outputs.float(), required(answer.gradient).float()), images.shape[2:])


def enlarged(maps: Tensor, size: torch.Size) -> Tensor:
    """Maps `[N, h, w]` in another size, bilinear."""
    return F.interpolate(maps[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]
