"""Images as 8-bit pictures `[H, W, C]` and back, and as JPEG."""

from __future__ import annotations

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
    picture = _recompress(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels), quality)
    return np.array(picture).reshape(pixels.shape)


def _recompress(picture: Image.Image, quality: int) -> Image.Image:
    """Encode and decode by Pillow's codec itself: a file's save and open cost a small picture more than the codec."""
    mode = "L" if picture.mode == "L" else "RGB"
    return Image.frombytes(mode, picture.size, picture.tobytes("jpeg", mode, quality), "jpeg", mode, "")


def jpeg_compression(images: Tensor, quality: int) -> Tensor:
    """Save as JPEG and read again, with the defaults of libjpeg's encoder: chroma halved both ways (4:2:0).

    Args:
        images: float `[N, C, H, W]` in [0, 1], C 1 or 3, rounded to the 256 levels of 8 bits first.
        quality: 1 (worst) to 95, in the scale of the Independent JPEG Group.

    Returns:
        Float32 of the same shape, on 8-bit levels in [0, 1].
    """
    result = torch.empty(images.shape, dtype=torch.float32)
    channels, height, width = images.shape[1:]
    bands = "L" if channels == 1 else "RGB"
    for image, target in zip(images.detach().float().cpu().numpy(), result.numpy(), strict=True):
        levels = image * np.float32(255)
        levels += np.float32(0.5)
        if channels == 1:
            picture = Image.fromarray(levels[0].astype(np.uint8))
        else:  # a pixel as one number: 24 bits, which float32 holds and Pillow takes as they lie
            np.floor(levels, out=levels)
            pixels = (levels[0] + levels[1] * np.float32(2**8) + levels[2] * np.float32(2**16)).astype("<i4")
            picture = Image.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1)
        picture = _recompress(picture, quality)
        for plane, band in zip(target, bands, strict=True):
            plane[...] = np.frombuffer(picture.tobytes("raw", band), np.uint8).reshape(height, width)
        target /= np.float32(255)
    return result.to(images.device)
