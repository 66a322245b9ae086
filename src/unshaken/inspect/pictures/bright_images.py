"""Bright images: even their darkest pixels are bright."""

from __future__ import annotations

from pydantic import Field
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.inspect.engine.base import ScoreCheck
from unshaken.inspect.engine.sample import DecodedSample


@register("bright-images", reference="cleanvision 0.3.7, https://github.com/cleanlab/cleanvision")
class BrightImages(ScoreCheck):
    """Find overexposed images: 95% of the pixels are nearly white.

    The score is 1 less the 5% quantile of the perceived brightness, see `DecodedSample.brightness`.
    """

    title = "Bright images"
    quantity = "darkness_05"
    threshold: float = Field(
        default=0.05, description="flag images whose 5% quantile of brightness is above 1 less it", ge=0, le=1
    )

    @override
    def score(self, sample: DecodedSample) -> float:
        return 1 - float(sample.brightness[1])
