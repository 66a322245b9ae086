"""Focus on what is far."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.common_3d._depth import REFERENCE, DepthCorruption
from unshaken.stress.common_3d.near_focus import depth_layers, refocus
from unshaken.stress.engine.base import Severities

APERTURE = (1.5, 2.5, 3.5, 4.5, 5.5)


@register("far_focus", reference=REFERENCE, group="3dcc", comparable="with depth")
class FarFocus(DepthCorruption):
    """Keep far things sharp and blur the others."""

    strengths = Severities(imagenet=APERTURE, cifar=APERTURE, tiny=APERTURE)

    @override
    def corrupt_one(self, image: Tensor, depth: Tensor, c: float, rng: SampleRng) -> Tensor:
        borders = depth_layers(depth)
        return refocus(image, depth, borders, float(borders[7]), c)
