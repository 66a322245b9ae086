"""Images as 8-bit pictures `[H, W, C]` and back, and as JPEG."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor


def to_pixels(image: Tensor) -> NDArray[np.uint8]:
    """An image `[C, H, W]` in [0, 1] as 8-bit pixels `[H, W, C]`, rounded to the nearest level."""
    levels = (image.detach().float().cpu() * 255).add_(0.5).numpy().astype(np.uint8)
    pixels = np.empty((*levels.shape[1:], len(levels)), np.uint8)
    for channel, plane in enumerate(levels):
        pixels[..., channel] = plane
    return pixels


def to_planes(pixels: NDArray[np.uint8]) -> Tensor:
    """An 8-bit picture `[H, W, C]` as float32 `[C, H, W]` in [0, 1]."""
    planes = np.empty((pixels.shape[2], *pixels.shape[:2]), np.uint8)
    for channel, plane in enumerate(planes):  # a plane at a time is several times faster than one transposed copy
        plane[...] = pixels[..., channel]
    return torch.from_numpy(planes).float().div_(255)


def through_jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Save a picture as JPEG and read it again.

    Args:
        pixels: uint8 `[H, W, C]`, C 1 or 3.
        quality: 1 (worst) to 95, in the scale of the Independent JPEG Group; chroma is halved both ways (4:2:0).

    Returns:
        Uint8 `[H, W, C]`.
    """
    file = BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "JPEG", quality=quality)
    with Image.open(file, formats=("JPEG",)) as image:
        return np.array(image).reshape(pixels.shape)


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
