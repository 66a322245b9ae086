"""Images that are far from square."""

from __future__ import annotations

from pydantic import Field
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.inspect.engine.base import ScoreCheck
from unshaken.inspect.engine.sample import DecodedSample


@register("odd-aspect", reference="cleanvision 0.3.7, https://github.com/cleanlab/cleanvision")
class OddAspect(ScoreCheck):
    """Find images that are far from square: the score is the short side over the long one."""

    title = "Images of an odd shape"
    quantity = "aspect"
    threshold: float = Field(
        default=0.35, description="flag images whose short side is a smaller share of the long one", ge=0, le=1
    )

    @override
    def score(self, sample: DecodedSample) -> float:
        width, height = sample.image.size
        return min(width / height, height / width)
