"""Blurry images: weak edges at a small size."""

from __future__ import annotations

import math

import numpy as np
from PIL import ImageFilter, ImageStat
from pydantic import Field
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.inspect.engine.base import ScoreCheck
from unshaken.inspect.engine.sample import DecodedSample

SIDE = 64
"""Long side in pixels at which edges are measured."""
SCALE = 0.01
FLAT = 0.18
"""Spread of the shades below which it says nothing."""


@register("blurry-images", reference="cleanvision 0.3.7, https://github.com/cleanlab/cleanvision")
class BlurryImages(ScoreCheck):
    """Find blurry images: neither edges nor few shades of grey are sharp.

    At a long side of 64 pixels the score is `1 - exp(-s/100)`, s the standard deviation of the image after a filter
    that finds edges, plus `1 - exp(-h/100)` where that is above 0.18, h the standard deviation of the histogram of
    greys; at most 1. A drawing with few shades is so not taken for blurry.
    """

    title = "Blurry images"
    quantity = "sharpness_64"
    threshold: float = Field(default=0.29, description="flag images whose score is below it", ge=0, le=1)

    @override
    def score(self, sample: DecodedSample) -> float:
        image, ratio = sample.image, max(sample.image.size) / SIDE
        if ratio > 1:
            image = image.resize((max(int(image.width // ratio), 1), max(int(image.height // ratio), 1)))
        grey = image.convert("L")
        edges = math.sqrt(ImageStat.Stat(grey.filter(ImageFilter.FIND_EDGES)).var[0])
        shades = 1 - math.exp(-float(np.std(grey.histogram())) * SCALE)
        return min(1 - math.exp(-edges * SCALE) + (shades if shades > FLAT else 0.0), 1.0)
