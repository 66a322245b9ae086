"""JPEG compression."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.data.jpeg import through_jpeg
from unshaken.stress._levels import LevelCorruption
from unshaken.stress.base import Severities, to_pixels, to_planes


def jpeg_compression(images: Tensor, quality: int) -> Tensor:
    """Save as JPEG and read again, with the defaults of libjpeg's encoder: chroma halved both ways (4:2:0).

    Args:
        images: float `[N, C, H, W]` in [0, 1], C 1 or 3, rounded to the 256 levels of 8 bits first.
        quality: 1 (worst) to 95, in the scale of the Independent JPEG Group.

    Returns:
        Float32 of the same shape, on 8-bit levels in [0, 1].
    """
    result = torch.empty(images.shape, dtype=torch.float32)
    for image, target in zip(images, result, strict=True):
        target.copy_(to_planes(through_jpeg(to_pixels(image), quality)))
    return result.to(images.device)


@register("jpeg_compression", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="digital")
class JpegCompression(LevelCorruption):
    """Compress as JPEG of low quality."""

    strengths = Severities(imagenet=(25, 18, 15, 10, 7), cifar=(80, 65, 58, 50, 40), tiny=(65, 58, 50, 40, 25))

    def corrupt(self, images: Tensor, c: int, rng: SampleRng) -> Tensor:
        """See `jpeg_compression`."""
        return jpeg_compression(images, c)

    def corrupt_pixels(self, pixels: NDArray[np.uint8], c: int) -> NDArray[np.uint8]:
        """See `through_jpeg`."""
        return through_jpeg(pixels, c)
