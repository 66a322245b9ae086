"""JPEG compression."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.io import decode_jpeg

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress._levels import LevelCorruption
from unshaken.stress.base import Severities


def jpeg_compression(images: Tensor, quality: int) -> Tensor:
    """Save as JPEG and read again, with the defaults of Pillow's encoder: chroma halved both ways (4:2:0).

    Args:
        images: float `[N, C, H, W]` in [0, 1], C 1 or 3, rounded to the 256 levels of 8 bits first.
        quality: 1 (worst) to 95, in the scale of the Independent JPEG Group.

    Returns:
        Float32 of the same shape, on 8-bit levels in [0, 1].
    """
    result = torch.empty(images.shape, dtype=torch.float32)
    half, scaled = torch.tensor(0.5), torch.empty(images.shape[1:])
    for image, target in zip(images.detach().float().cpu(), result, strict=True):
        torch.add(half, image, alpha=255, out=scaled)
        bands = [Image.fromarray(band) for band in scaled.numpy().astype(np.uint8)]
        file = BytesIO()
        (bands[0] if len(bands) == 1 else Image.merge("RGB", bands)).save(file, "JPEG", quality=quality)
        target.copy_(decode_jpeg(torch.frombuffer(bytearray(file.getbuffer()), dtype=torch.uint8)))
        target.div_(255)
    return result.to(images.device)


@register("jpeg_compression", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="digital")
class JpegCompression(LevelCorruption):
    """Compress as JPEG of low quality."""

    strengths = Severities(imagenet=(25, 18, 15, 10, 7), cifar=(80, 65, 58, 50, 40), tiny=(65, 58, 50, 40, 25))

    def corrupt(self, images: Tensor, c: int, rng: SampleRng) -> Tensor:
        """See `jpeg_compression`."""
        return jpeg_compression(images, c)
