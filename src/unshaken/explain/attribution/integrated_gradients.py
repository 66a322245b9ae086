"""Integrated gradients: the gradient's integral on the way from a baseline to the image."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.attribution import AttributionMap, Target
from unshaken.explain.engine.baselines import Baseline, baseline_of
from unshaken.explain.engine.gradients import AveragedGradients, Channels, reduce_channels


@register("integrated-gradients", reference="Sundararajan et al. 2017, arXiv:1703.01365")
class IntegratedGradients(AveragedGradients):
    """Integrated gradients: `(x - b) * int_0^1 grad z_c(b + t (x - b)) dt`, from a baseline b.

    The map's sum should be `z_c(x) - z_c(b)`; how far it is from that is reported for each sample as its completeness
    error. Two of the passes are for these two scores.
    """

    channels: Channels = Field("sum", description="how channels become one value: mean-abs, max-abs or sum")
    steps: PositiveInt = Field(50, description="number of points of the integral")
    baseline: Baseline = Field("black", description="image without content: black, grey, white, mean or noise")
    rule: Literal["midpoint", "right"] = Field("midpoint", description="rule of integration: midpoint or right end")

    @property
    @override
    def count(self) -> int:
        return self.steps + 2

    @override
    def points(self, target: Target, number: Tensor, rng: SampleRng) -> Tensor:
        """`b + t (x - b)`."""
        images, start = target.images, baseline_of(target.images, self.baseline, rng)
        return start[:, None] + self._places(number).view(*number.shape, 1, 1, 1) * (images - start)[:, None]

    def _places(self, number: Tensor) -> Tensor:
        """The places t in [0, 1] of the points: those of the integral, then 0, then 1."""
        shift = 0.5 if self.rule == "midpoint" else 1.0
        inside = (number + shift) / self.steps
        return torch.where(number < self.steps, inside, (number - self.steps).float())

    @override
    def weights(self, target: Target, number: Tensor, rng: SampleRng) -> Tensor:
        way = target.images - baseline_of(target.images, self.baseline, rng)
        return ((number < self.steps) / self.steps).view(*number.shape, 1, 1, 1) * way[:, None]

    @override
    def score_weights(self, number: Tensor) -> Tensor:
        return (number == self.steps + 1).float() - (number == self.steps).float()

    @override
    def finish(self, target: Target, total: Tensor, scores: Tensor) -> AttributionMap:
        return AttributionMap(reduce_channels(total, self.channels), (total.flatten(1).sum(1) - scores).abs())
