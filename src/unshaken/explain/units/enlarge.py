"""Maps of units at another size, bilinearly: by two products of matrices, which many small maps need most."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps as `interpolate` of mode `bilinear` gives them; themselves where they have the size.

    Args:
        maps: `[..., h, w]`.
        size: height and width.

    Returns:
        `[..., H, W]`.
    """
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    down, across = (_weights(maps.shape[i], size[i]).to(maps) for i in (-2, -1))
    return down @ (maps @ across.T)


@lru_cache(64)
def _weights(given: int, wanted: int) -> Tensor:
    """What each given place counts in each wanted one, `[wanted, given]`."""
    places = torch.eye(given)[None]
    return F.interpolate(places, wanted, mode="linear", align_corners=False)[0].T.contiguous()
