"""Spatial search: an image is compared by its parts, each with the nearest part of the other one."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.errors import DataError, ParameterError
from unshaken.measure.statistics.columns import Indices, Numbers
from unshaken.tasks.features.transforms import Features


def spatial_patches(images: Tensor, levels: int) -> Tensor:
    """Square parts of square images, enlarged to the images' own size.

    Level i has i x i parts of equal size, of 2 / (i + 1) of the side, that overlap and cover the image; level 1 is the
    image.

    Args:
        images: float32 or uint8 `[N, C, S, S]`.
        levels: h; 4 for references and 3 for queries are published.

    Returns:
        `[N, P, C, S, S]` of the same kind, P = 1 + 4 + ... + h^2: 30 for h = 4, 14 for h = 3.

    Raises:
        DataError: images are not square: parts would be distorted.
        ParameterError: levels is below 1.
    """
    side = images.shape[-1]
    if images.shape[-2] != side:
        raise DataError(f"spatial search needs square images, not {side} x {images.shape[-2]} pixels: cut them first")
    if levels < 1:
        raise ParameterError(f"levels must be at least 1, not {levels}")
    pixels, found = images.float(), []
    for level in range(1, levels + 1):
        length = int(np.ceil(2 * side / (level + 1)))
        places = np.linspace(0, side - length, level).round().astype(int).tolist()
        for y in places:
            for x in places:
                part = pixels[..., y : y + length, x : x + length]
                found.append(F.interpolate(part, (side, side), mode="bilinear", align_corners=False))
    patches = torch.stack(found, 1)
    return patches.round().clamp(0, 255).to(torch.uint8) if images.dtype == torch.uint8 else patches


def spatial_distances(queries: Features, references: Features) -> Numbers:
    """The mean over a query's parts of the distance to the nearest part of a reference.

    Args:
        queries: features `[Q, P, D]`, or `[Q, D]` of whole images.
        references: features `[R, P', D]`, or `[R, D]`.

    Returns:
        L2 distances `[Q, R]`; with one part each, those of whole images.
    """
    asked, there = (v if v.ndim == 3 else v[:, None] for v in (np.asarray(queries), np.asarray(references)))
    found = np.empty((len(asked), len(there)))
    flat = there.reshape(-1, there.shape[-1]).astype(np.float64)
    lengths = (flat**2).sum(1)
    for i, parts in enumerate(asked.astype(np.float64)):
        squared = (parts**2).sum(1)[:, None] + lengths - 2 * parts @ flat.T
        nearest = squared.reshape(len(parts), len(there), -1).min(2)
        found[i] = np.sqrt(np.maximum(nearest, 0)).mean(0)
    return found


def retrieve(distances: Numbers, k: int = 4) -> Indices:
    """The k nearest references of each query, the nearest first, int `[Q, k]`; of equal ones the first."""
    return np.asarray(np.argsort(distances, axis=1, kind="stable")[:, :k], np.int64)
