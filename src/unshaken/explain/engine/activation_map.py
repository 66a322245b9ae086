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
from unshaken.explain.engine.attribution import MapState, OneQuery, Score
from unshaken.explain.engine.gradients import LayerGradient
from unshaken.explain.engine.layers import find_map_layer


class ActivationMap(OneQuery):
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
    def ask(self, state: MapState) -> LayerGradient:
        return LayerGradient(state.target.images, state.target.classes, self.layer, self.score)

    @override
    def make_map(self, images: Tensor, answer: Answer) -> Tensor:
        outputs = (answer.features or {})[self.layer]
        return enlarged(self.combine(outputs.float(), required(answer.gradient).float()), images.shape[2:])


def enlarged(maps: Tensor, size: torch.Size) -> Tensor:
    """Maps `[N, h, w]` in another size, bilinear."""
    return F.interpolate(maps[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]
