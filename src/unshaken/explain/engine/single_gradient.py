"""`SingleGradient`: maps made from the gradient at the image itself."""

from __future__ import annotations

from abc import abstractmethod

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.explain.engine.attribution import Attribution, AttributionMap
from unshaken.explain.engine.reduce import Channels, reduce_channels
from unshaken.explain.engine.target import Score, Target, TargetScore


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
