"""JPEG compression."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from unshaken.core.pixels import jpeg_compression as jpeg_compression
from unshaken.core.pixels import through_jpeg
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import LevelCorruption, Severities


@register(
    "jpeg_compression",
    title="JPEG compression",
    reference="Hendrycks & Dietterich 2019, arXiv:1903.12261",
    group="digital",
)
class JpegCompression(LevelCorruption):
    """Compress as JPEG of low quality."""

    strengths = Severities(imagenet=(25, 18, 15, 10, 7), cifar=(80, 65, 58, 50, 40), tiny=(65, 58, 50, 40, 25))

    @override
    def corrupt(self, images: Tensor, c: int, rng: SampleRng) -> Tensor:
        return jpeg_compression(images, c)

    @override
    def corrupt_pixels(self, pixels: NDArray[np.uint8], c: int) -> NDArray[np.uint8]:
        return through_jpeg(pixels, c)
