"""GradientSHAP: integrated gradients from random baselines, at random points, under noise."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.gradients import RandomPaths


@register("gradient-shap", reference="Lundberg & Lee 2017, arXiv:1705.07874")
class GradientShap(RandomPaths):
    """GradientSHAP: mean of `(x - b) grad z_c` over random baselines b and points on the way from them.

    Baselines are a uniform colour each, drawn anew for every sample and point; `expected-gradients` takes images.
    """

    @override
    def baseline(self, images: Tensor, rng: SampleRng) -> Tensor:
        colours = rng.fold("colour").fresh(images.shape[1]).to(images)
        return colours[:, :, None, None].expand_as(images).contiguous()
