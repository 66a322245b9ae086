"""Dark images: even their brightest pixels are dark."""

from __future__ import annotations

from pydantic import Field
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.inspect.engine.base import ScoreCheck
from unshaken.inspect.engine.sample import DecodedSample


@register("dark-images", reference="cleanvision 0.3.7, https://github.com/cleanlab/cleanvision")
class DarkImages(ScoreCheck):
    """Find dark images: 99% of the pixels are darker than a threshold.

    The score is the 99% quantile of the perceived brightness, see `DecodedSample.brightness`.
    """

    title = "Dark images"
    quantity = "brightness_99"
    threshold: float = Field(
        default=0.32, description="flag images whose 99% quantile of brightness is below it", ge=0, le=1
    )

    @override
    def score(self, sample: DecodedSample) -> float:
        return float(sample.brightness[6])
