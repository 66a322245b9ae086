"""Images cut into segments: pieces of like colour, or the cells of a grid."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from unshaken.core.extras import need

Segmentation = Literal["slic", "grid"]
"""SLIC's pieces of like colour (needs scikit-image), or the cells of a grid."""


def segments_of(images: Tensor, kind: Segmentation, count: int, compactness: float, sigma: float) -> Tensor:
    """The segment of each pixel, from 0.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        kind: see `Segmentation`.
        count: of segments; about so many come out.
        compactness: of SLIC: how much nearness counts beside likeness of colour.
        sigma: of SLIC: deviation of a blur before, in pixels.

    Returns:
        Int64 `[N, H, W]`.

    Raises:
        MissingExtra: SLIC is wanted, and scikit-image is absent.
    """
    if kind == "grid":
        height, width = images.shape[2:]
        return grid_segments(height, width, count).to(images.device).expand(len(images), -1, -1)
    why = "SLIC segments (segmentation=grid needs no package)"
    slic = need("skimage.segmentation", "scikit-image", "explain", why).slic
    colours = images if images.shape[1] == 3 else images.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    found = [
        torch.from_numpy(slic(x, n_segments=count, compactness=compactness, sigma=sigma, start_label=0))
        for x in colours.permute(0, 2, 3, 1).cpu().double().numpy()
    ]
    return torch.stack(found).long().to(images.device)


def grid_segments(height: int, width: int, count: int) -> Tensor:
    """Cells of a grid of about `count` cells, as many down as across, int64 `[H, W]`.

    >>> grid_segments(2, 4, 4).tolist()
    [[0, 0, 1, 1], [2, 2, 3, 3]]
    """
    side = max(1, round(count**0.5))
    down, across = (torch.arange(n) * min(side, n) // n for n in (height, width))
    cells: Tensor = down[:, None] * min(side, width) + across
    return cells


def segment_means(images: Tensor, segments: Tensor) -> Tensor:
    """Images in which each pixel has the mean colour of its segment.

    Args:
        images: `[N, C, H, W]`.
        segments: int64 `[N, H, W]`.

    Returns:
        The images' shape.
    """
    n, channels = images.shape[:2]
    place = segments.flatten(1)[:, None].expand(-1, channels, -1)
    sums = images.new_zeros(n, channels, int(segments.max()) + 1)
    sizes = sums.scatter_add(2, place, torch.ones_like(images.flatten(2)))
    sums = sums.scatter_add(2, place, images.flatten(2))
    return (sums / sizes.clamp(min=1)).gather(2, place).view_as(images)
