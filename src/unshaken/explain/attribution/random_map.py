"""Random map: a control that knows nothing."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.attribution import Control


@register("random-map", reference="Adebayo et al. 2018, arXiv:1810.03292")
class RandomMap(Control):
    """Random map: a uniform number a pixel, which any method must beat."""

    @override
    def draw(self, images: Tensor, rng: SampleRng) -> Tensor:
        return rng.uniform(*images.shape[2:]).to(images)
