"""Spread spectrum: a faint fixed pattern over the whole image, found again by correlation."""

from __future__ import annotations

from functools import lru_cache

from pydantic import Field, NonNegativeInt
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank
from unshaken.detect.watermark.watermark import SpreadSpectrum, WatermarkDetector, Watermarker


@register("spread-spectrum", reference="Cox et al. 1997, doi:10.1109/83.650120", group="watermark")
class SpreadSpectrumWatermark(WatermarkDetector):
    """The correlation of the image, its 3 x 3 means taken off, with a pattern of +-1; see `SpreadSpectrum`."""

    seed: NonNegativeInt = Field(default=0, description="seed of the pattern, which is the key")
    amplitude: float = Field(default=4 / 255, gt=0, le=1, description="size of the pattern, in [0, 1] pixel units")

    @override
    def watermarker(self, image: tuple[int, int, int], bank: Bank) -> Watermarker:
        return _watermark(image, self.amplitude, self.seed)


@lru_cache(maxsize=16)
def _watermark(image: tuple[int, int, int], amplitude: float, seed: int) -> SpreadSpectrum:
    """Made once: the pattern is drawn outside of any graph that is exported."""
    return SpreadSpectrum(image, amplitude, seed=seed)
