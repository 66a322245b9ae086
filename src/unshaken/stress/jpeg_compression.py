"""JPEG compression."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.io import decode_jpeg, encode_jpeg

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress._levels import LevelCorruption
from unshaken.stress.base import Severities, to_pixels


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
        target.copy_(_through_a_file(to_pixels(image), quality))
    return result.div_(255).to(images.device)


def jpeg_pixels(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """`jpeg_compression` of one 8-bit picture `[H, W, C]`, C 1 or 3; the same shape."""
    return _through_a_file(pixels, quality).permute(1, 2, 0).numpy()


def _through_a_file(pixels: NDArray[np.uint8], quality: int) -> Tensor:
    """Pixels `[H, W, C]` encoded and decoded: uint8 `[C, H, W]`."""
    own = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
    decoded: Tensor = decode_jpeg(encode_jpeg(own.permute(2, 0, 1), quality=quality))
    return decoded


@register("jpeg_compression", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="digital")
class JpegCompression(LevelCorruption):
    """Compress as JPEG of low quality."""

    strengths = Severities(imagenet=(25, 18, 15, 10, 7), cifar=(80, 65, 58, 50, 40), tiny=(65, 58, 50, 40, 25))

    def corrupt(self, images: Tensor, c: int, rng: SampleRng) -> Tensor:
        """See `jpeg_compression`."""
        return jpeg_compression(images, c)

    def corrupt_pixels(self, pixels: NDArray[np.uint8], c: int) -> NDArray[np.uint8]:
        """See `jpeg_pixels`."""
        return jpeg_pixels(pixels, c)
