"""JPEG of a batch of images."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.data.decode import through_jpeg
from unshaken.stress.engine.pixels import to_pixels, to_planes


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
