"""Gradients of a class's score by the image at several points, and by the output of a layer."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.oracle import required
from unshaken.core.query import Answer, Goal, Gradient, Passes, Query
from unshaken.explain.engine.target import Score, TargetScore


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
