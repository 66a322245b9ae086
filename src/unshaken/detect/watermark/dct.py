"""DCT watermark: bits in how low DCT coefficients are rounded, read off by vote."""

from __future__ import annotations

from functools import lru_cache

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank
from unshaken.detect.watermark.watermark import DCTWatermark, WatermarkDetector, Watermarker, random_key


@register("dct", reference="Chen & Wornell 2001, doi:10.1109/18.923725", group="watermark")
class DCTWatermarkDetector(WatermarkDetector):
    """The share of the key's bits that are read off right; see `DCTWatermark`.

    An image of H x W pixels carries `2 floor(H / 8) floor(W / 8)` bits at most. An image without the mark has each bit
    right by chance: `false_positive_rate` says how often as many are.
    """

    seed: NonNegativeInt = Field(default=0, description="seed of the key")
    n_bits: PositiveInt = Field(default=8, description="bits of the key")
    step: PositiveFloat = Field(
        default=0.2, description="step of the rounding, in pixel units of an orthonormal coefficient"
    )

    @override
    def watermarker(self, image: tuple[int, int, int], bank: Bank) -> Watermarker:
        return _watermark(self.n_bits, self.seed, self.step)


@lru_cache(maxsize=16)
def _watermark(n_bits: int, seed: int, step: float) -> DCTWatermark:
    """Made once: the key is drawn outside of any graph that is exported."""
    return DCTWatermark(random_key(n_bits, seed), step=step)
