"""Zoom blur."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Corruption, Severities


def zoom_blur(images: Tensor, stop: float, step: float) -> Tensor:
    """Mean of the picture and of its enlargements by 1, 1 + step, ... below `stop`.

    All enlargements are one sparse matrix over the pixels, made once for a size: every pixel is a weighted sum of
    about 30 others, which costs a fraction of enlarging a dozen times.

    Args:
        images: float32 `[N, C, H, W]`.
        stop: end of the factors, above 1, not included (up to the rounding of `numpy.arange`).
        step: between the factors.

    Returns:
        The same shape.
    """
    matrix = zoom_matrix(images.shape[2], images.shape[3], stop, step)
    columns = images.flatten(2).flatten(0, 1).t().contiguous().cpu().numpy()
    return torch.from_numpy(matrix @ columns).to(images.device).t().reshape(images.shape)


@lru_cache(maxsize=2)
def zoom_matrix(height: int, width: int, stop: float, step: float) -> sparse.csr_array:
    """The blur as a float32 matrix `[H W, H W]` on the flattened picture, of row sums 1."""
    factors = np.arange(1, stop, step)
    total = sparse.eye_array(height * width, format="csr")
    for factor in factors:
        total = total + sparse.kron(_enlarge(height, factor), _enlarge(width, factor), format="csr")
    return (total / (len(factors) + 1)).astype(np.float32)


def _enlarge(side: int, factor: float) -> sparse.csr_array:
    """Linear interpolation of a line: the central `ceil(side / factor)` pixels spread, ends on ends, and cut to `side`.

    Row j reads the crop at `j (crop - 1) / (whole - 1)`, where `whole` is the rounded length of the enlargement.
    """
    crop = math.ceil(side / factor)
    whole = round(crop * factor)
    places = np.arange(side) * (crop - 1) / (whole - 1)
    before = np.minimum(np.floor(places).astype(int), crop - 2)
    weight = places - before
    rows, columns = np.arange(side), before + (side - crop) // 2
    entries = np.concatenate([1 - weight, weight])
    return sparse.csr_array((entries, (np.tile(rows, 2), np.concatenate([columns, columns + 1]))), shape=(side, side))


@register("zoom_blur", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="blur")
class ZoomBlur(Corruption):
    """Blur as by zooming in during the exposure."""

    chunk = 2_500_000

    strengths = Severities(
        imagenet=((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        cifar=((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        tiny=((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    )

    @override
    def corrupt(self, images: Tensor, c: tuple[float, float], rng: SampleRng) -> Tensor:
        return zoom_blur(images, *c)
