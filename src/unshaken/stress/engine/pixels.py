"""Images as 8-bit pictures `[H, W, C]`, and back."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
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
