"""Elastic transform."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import grid_sample
from typing_extensions import override

from unshaken.core.device import widen, widest_float
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Corruption, Severities

_BAND = 32  # rows of a smoothing matrix done at once: its band is narrow where sigma is small


def elastic_transform(images: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
    """Sample each pixel from a displaced place: `x(h + dy, w + dx)`, bilinear, mirrored beyond the border's edge.

    Args:
        images: float32 `[N, C, H, W]`.
        dy: float32 `[N, H, W]`, pixels down.
        dx: float32 `[N, H, W]`, pixels to the right.

    Returns:
        The same shape.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, dtype=torch.float32, device=images.device)[:, None] + 0.5
    columns = torch.arange(width, dtype=torch.float32, device=images.device) + 0.5
    places = images.new_empty(len(images), 2, height, width)  # x and y apart: faster to write and to read
    torch.add(dx, columns, out=places[:, 0]).mul_(2 / width).sub_(1)
    torch.add(dy, rows, out=places[:, 1]).mul_(2 / height).sub_(1)
    return grid_sample(images, places.permute(0, 2, 3, 1), padding_mode="reflection", align_corners=False)


def affine_jitter(images: Tensor, jitter: Tensor) -> Tensor:
    """Warp so that three anchors move by given offsets, bilinear, mirrored at the border pixels.

    The anchors `(x, y)` are the centre `(W // 2, H // 2)` plus `q (1, 1)`, `q (1, -1)` and `q (-1, -1)`, with
    `q = min(H, W) // 3`.

    Args:
        images: float32 `[N, C, H, W]`.
        jitter: `[N, 3, 2]`, pixels `(x, y)` that each anchor moves.

    Returns:
        The same shape.
    """
    height, width = images.shape[2:]
    signs = torch.tensor(
        [[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], dtype=widest_float(images.device), device=images.device
    )
    anchors = torch.tensor([width // 2, height // 2], device=images.device) + signs * (min(height, width) // 3)
    moved = anchors + widen(jitter)
    # [x_from; y_from] = M [x, y, 1]: the anchors' places seen from where they went.
    ones = moved.new_ones(len(moved), 3, 1)
    matrix = torch.linalg.solve(torch.cat([moved, ones], 2), anchors.expand(len(moved), 3, 2)).mT.float()
    rows = torch.arange(height, dtype=torch.float32, device=images.device)[:, None]
    columns = torch.arange(width, dtype=torch.float32, device=images.device)
    places = images.new_empty(len(images), 2, height, width)
    for axis, size in enumerate((width, height)):
        a, b, c = (matrix[:, axis, k, None, None] * (2 / (size - 1)) for k in range(3))
        torch.add(a * columns, b * rows + (c - 1), out=places[:, axis])
    return grid_sample(images, places.permute(0, 2, 3, 1), padding_mode="reflection", align_corners=True)


def smooth(noise: Tensor, sigma_y: float, sigma_x: float) -> Tensor:
    """Gaussian blur of `[..., H, W]` by two matrices, kernels cut at 3 sigma, mirrored beyond the border's edge."""
    height, width = noise.shape[-2:]
    down, across = _matrix(height, sigma_y).to(noise), _matrix(width, sigma_x).to(noise)
    flat = noise.reshape(-1, height, width)
    result = torch.empty_like(flat)
    whole, half = (
        flat.new_empty(height, width) for _ in range(2)
    )  # aligned alike for all, or products differ in a bit
    for field, target in zip(flat, result, strict=True):
        whole.copy_(field)
        for low, high, start, stop in _bands(width, sigma_x):
            torch.mm(whole[:, start:stop], across[low:high, start:stop].T, out=half[:, low:high])
        for low, high, start, stop in _bands(height, sigma_y):
            target[low:high] = down[low:high, start:stop] @ half[start:stop]
    return result.view_as(noise)


@lru_cache(maxsize=64)
def _matrix(size: int, sigma: float) -> Tensor:
    """The blur of one side as a matrix `[size, size]`; a kernel longer than the side is folded back."""
    reach = int(3 * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    places = (np.arange(size)[:, None] + np.arange(-reach, reach + 1)) % (2 * size)
    folded = np.where(places < size, places, 2 * size - 1 - places)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], folded), taps / taps.sum())
    return torch.from_numpy(matrix).float()


def _bands(size: int, sigma: float) -> list[tuple[int, int, int, int]]:
    """Blocks of rows of the matrix, each with the columns that are not zero."""
    reach = int(3 * sigma + 0.5)
    blocks = [(low, min(low + _BAND, size)) for low in range(0, size, _BAND)] if reach < size // 4 else [(0, size)]
    return [(low, high, max(0, low - reach), min(size, high + reach)) for low, high in blocks]


@register("elastic_transform", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="digital")
class ElasticTransform(Corruption):
    """Jitter three anchors of an affine map, then displace pixels by a smooth random field.

    The variant `bethge` (Michaelis et al. 2019, arXiv:1907.07484) has no affine map and a finer field that depends on
    the image's size; its errors do not compare with those of the variant `hendrycks`.
    """

    variant: Literal["hendrycks", "bethge"] = Field(
        default="hendrycks", description="the authors' form, or the Bethge lab's"
    )

    # alpha, sigma and jitter in pixels (244 is the authors' slip, kept), and bethge's alpha
    strengths = Severities(
        imagenet=tuple(
            (244 * a, 244 * s, 244 * j, b)
            for a, s, j, b in (
                (2, 0.7, 0.1, 12.5),
                (2, 0.08, 0.2, 16.25),
                (0.05, 0.01, 0.02, 21.25),
                (0.07, 0.01, 0.02, 25),
                (0.12, 0.01, 0.02, 30),
            )
        ),
        cifar=tuple(
            (32 * a, 32 * s, 32 * j, b)
            for a, s, j, b in (
                (0, 0, 0.08, 12.5),
                (0.05, 0.2, 0.07, 16.25),
                (0.08, 0.06, 0.06, 21.25),
                (0.1, 0.04, 0.05, 25),
                (0.1, 0.03, 0.03, 30),
            )
        ),
        tiny=tuple(
            (64 * a, 64 * s, 64 * j, b)
            for a, s, j, b in (
                (0, 0, 0.08, 12.5),
                (0.05, 0.3, 0.06, 16.25),
                (0.1, 0.08, 0.06, 21.25),
                (0.1, 0.03, 0.03, 25),
                (0.16, 0.03, 0.02, 30),
            )
        ),
    )

    @override
    def corrupt(self, images: Tensor, c: tuple[float, float, float, float], rng: SampleRng) -> Tensor:
        height, width = images.shape[2:]
        alpha, sigma, jitter, bethge_alpha = c
        if self.variant == "hendrycks":
            offsets = rng.fold("jitter").uniform(3, 2, low=-jitter, high=jitter)
            images = affine_jitter(images, offsets.to(images.device))
            if alpha == 0:
                return images
            gain, sigma_y, sigma_x = alpha, sigma, sigma
        else:
            gain, sigma_y, sigma_x = bethge_alpha * 0.005 * height, 0.01 * height, 0.01 * width
        noise = rng.fold("field").uniform(2, height, width, low=-1, high=1).to(images.device)
        dx, dy = smooth(noise, sigma_y, sigma_x).mul_(gain).unbind(1)
        return elastic_transform(images, dy, dx)
