"""Filling what is behind an object, in closed form: the known pixels around a hole, ever wider, blend into it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def fill_holes(images: Tensor, holes: Tensor) -> Tensor:
    """Fill holes from a pyramid of means of the known pixels (pull-push).

    A level halves height and width by means over what is known of four pixels, until nothing is unknown; on the way
    back a pixel that is unknown takes the value of the next smaller level, bilinear.

    Args:
        images: float32 `[N, C, H, W]`.
        holes: bool `[N, 1, H, W]`; no image is a hole as a whole.

    Returns:
        The same shape; pixels outside of the holes are as they were.

    Source: Gortler et al. 1996, doi:10.1145/237170.237200.
    """
    return torch.where(holes, _filled(images, (~holes).to(images.dtype)), images)


def _filled(values: Tensor, known: Tensor) -> Tensor:
    """Values `[N, C, H, W]` with all filled that is not known: 1 in `[N, 1, H, W]`, 0 where it is not."""
    if bool(known.all()) or values.shape[2:] == (1, 1):
        return values
    share = F.avg_pool2d(known, 2, ceil_mode=True, count_include_pad=False)
    mean = F.avg_pool2d(values * known, 2, ceil_mode=True, count_include_pad=False) / share.clamp(min=1e-6)
    coarse = _filled(mean, (share > 0).to(values.dtype))
    wide = F.interpolate(coarse, values.shape[2:], mode="bilinear", align_corners=False)
    return torch.where(known > 0, values, wide)
