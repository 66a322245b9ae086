"""`ActivationMap`: maps made from a layer's output and the score's gradient by it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.oracle import required
from unshaken.core.query import Answer
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.explain.engine.attribution import Attribution, AttributionMap, Score, Target
from unshaken.explain.engine.gradients import LayerGradient
from unshaken.explain.engine.layers import find_map_layer


class LayerMap(State):
    """One row a sample.

    Args:
        target: the sample and its class.
        map: float32 `[N, H, W]`; zeros before it was asked for.
        asked: bool `[N]`.
    """

    target: Target
    map: Tensor
    asked: Tensor


class ActivationMap(Attribution[LayerMap]):
    """Base class of class activation maps. A subclass writes `combine`."""

    score: Score = Field("logit", description="score that is explained: logit, probability or log-probability")
    layer: str = Field("", description="name of the layer; empty for the last one whose output has places")

    @override
    def prepare(self, model: Classifier, images: Tensor) -> Self:
        layer, _ = find_map_layer(model, images, self.layer)
        return self.model_copy(update={"layer": layer})

    @abstractmethod
    def combine(self, outputs: Tensor, gradient: Tensor) -> Tensor:
        """From a layer's outputs A and the gradients `d z_c / d A`, both `[N, D, h, w]`, to maps `[N, h, w]`."""

    @override
    def start(self, target: Target, rng: SampleRng) -> LayerMap:
        return LayerMap(target, torch.zeros_like(target.images[:, 0]), torch.zeros_like(target.classes).bool())

    @override
    def ask(self, state: LayerMap) -> LayerGradient:
        return LayerGradient(state.target.images, state.target.classes, self.layer, self.score)

    @override
    def tell(self, state: LayerMap, answer: Answer) -> LayerMap:
        outputs = (answer.features or {})[self.layer]
        found = self.combine(outputs.float(), required(answer.gradient).float())
        return state.replace(map=enlarged(found, state.map.shape[1:]), asked=torch.ones_like(state.asked))

    @override
    def done(self, state: LayerMap) -> Tensor:
        return state.asked

    @override
    def result(self, state: LayerMap) -> AttributionMap:
        return AttributionMap(state.map)


def enlarged(maps: Tensor, size: torch.Size) -> Tensor:
    """Maps `[N, h, w]` in another size, bilinear."""
    return F.interpolate(maps[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]
