"""Images with few different values."""

from __future__ import annotations

from pydantic import Field
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.inspect.engine.base import ScoreCheck
from unshaken.inspect.engine.sample import DecodedSample


@register("low-information", reference="cleanvision 0.3.7, https://github.com/cleanlab/cleanvision")
class LowInformation(ScoreCheck):
    """Find images with little information: a tenth of the entropy of the values of all channels, in bits."""

    title = "Images with little information"
    quantity = "entropy"
    threshold: float = Field(
        default=0.3, description="flag images whose entropy in bits is below ten times it", ge=0, le=1
    )

    @override
    def score(self, sample: DecodedSample) -> float:
        return min(float(sample.image.entropy()) / 10, 1.0)
