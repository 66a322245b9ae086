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
from unshaken.explain.engine.gradients import AveragedGradients, Channels, Terms, over_pixels, reduce_channels


@register("integrated-gradients", reference="Sundararajan et al. 2017, arXiv:1703.01365")
class IntegratedGradients(AveragedGradients):
    """Integrated gradients: `(x - b) * int_0^1 grad z_c(b + t (x - b)) dt`, from a baseline b.

    The map's sum should be `z_c(x) - z_c(b)`; how far it is from that is reported for each sample as its completeness
    error. Two of the passes are for these two scores.
    """

    channels: Channels = Field(default="sum", description="how channels become one value: mean-abs, max-abs or sum")
    steps: PositiveInt = Field(default=50, description="number of points of the integral")
    baseline: Baseline = Field(default="black", description="image without content: black, grey, white, mean or noise")
    rule: Literal["midpoint", "right"] = Field(
        default="midpoint", description="rule of integration: midpoint or right end"
    )

    @property
    @override
    def count(self) -> int:
        return self.steps + 2

    @override
    def terms(self, target: Target, number: Tensor, rng: SampleRng) -> Terms:
        """`(x - x') * mean over alpha of grad F(x' + alpha (x - x'))`, and of the two last points `F(x) - F(x')`.

        F is the score of the class and x' the baseline; alpha is the middle, or the right end, of each of `steps` equal
        parts of [0, 1].
        """
        x = target.images[:, None]
        baseline = baseline_of(target.images, self.baseline, rng)[:, None]
        on_path, at_baseline, at_image = number < self.steps, number == self.steps, number == self.steps + 1
        part = (number + (0.5 if self.rule == "midpoint" else 1.0)) / self.steps
        alpha = torch.where(on_path, part, at_image.float())
        return Terms(
            points=baseline + over_pixels(alpha) * (x - baseline),
            weights=over_pixels(on_path / self.steps) * (x - baseline),
            score_weights=at_image.float() - at_baseline.float(),
        )

    @override
    def finish(self, target: Target, total: Tensor, scores: Tensor) -> AttributionMap:
        return AttributionMap(reduce_channels(total, self.channels), (total.flatten(1).sum(1) - scores).abs())
