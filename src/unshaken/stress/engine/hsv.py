"""The pieces of HSV that closed forms need: no conversion of an image there and back."""

from __future__ import annotations

import torch
from torch import Tensor


def value(images: Tensor) -> Tensor:
    """The value V of HSV: `max(R, G, B)`, `[N, 1, H, W]` from `[N, 3, H, W]`."""
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return torch.maximum(torch.maximum(red, green), blue)


def least(images: Tensor) -> Tensor:
    """`min(R, G, B)`, `[N, 1, H, W]` from `[N, 3, H, W]`; the saturation is `(V - min) / V`."""
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return torch.minimum(torch.minimum(red, green), blue)


def luma(images: Tensor) -> Tensor:
    """Grey of ITU-R BT.601, `0.299 R + 0.587 G + 0.114 B`: `[N, 1, H, W]`; one channel stays as it is."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    return (red * 0.299).add_(green, alpha=0.587).add_(blue, alpha=0.114)
