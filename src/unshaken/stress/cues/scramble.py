"""Scramble: the tiles of a picture in another order, so that texture stays and shape goes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Stressor

TILES = (2, 3, 4, 6, 8)
"""Tiles along each side at severities 1 to 5."""


def scramble(images: Tensor, order: NDArray[np.int64]) -> Tensor:
    """Cut images into `p x p` equal tiles and put them in another order; no pixel changes its value.

    Args:
        images: `[N, C, H, W]`.
        order: int `[p * p]`, a permutation: place `i`, counted row by row, receives tile `order[i]`.

    Returns:
        The same shape. The inverse order gives the images back, to the bit.

    Raises:
        ParameterError: the tiles do not divide the images, or the order is no permutation of a square number.

    >>> quadrants = torch.tensor([[0.0, 1], [2, 3]])[None, None]
    >>> scramble(quadrants, np.array([2, 3, 1, 0])).flatten().tolist()
    [2.0, 3.0, 1.0, 0.0]
    """
    (n, c, height, width), p = images.shape, round(len(order) ** 0.5)
    if sorted(order.tolist()) != list(range(p * p)):
        raise ParameterError(
            f"an order of tiles must hold each number from 0 to {p * p - 1} once, not {order.tolist()}"
        )
    if height % p or width % p:
        raise ParameterError(
            f"{p} x {p} tiles do not divide images of {height} x {width} pixels: choose tiles that do, or another size"
        )
    h, w = height // p, width // p
    tiles = images.reshape(n, c, p, h, p, w).permute(2, 4, 0, 1, 3, 5).flatten(0, 1)[torch.from_numpy(order)]
    return tiles.reshape(p, p, n, c, h, w).permute(2, 3, 0, 4, 1, 5).reshape(images.shape)


def tile_order(tiles: int, seed: int = 0) -> NDArray[np.int64]:
    """An order of `tiles x tiles` tiles that leaves none at its place; of one tile, that one.

    Args:
        tiles: along each side.
        seed: of the order.
    """
    rng, unchanged = np.random.default_rng(seed), np.arange(tiles**2)
    if tiles == 1:
        return unchanged
    while bool(((order := rng.permutation(tiles**2)) == unchanged).any()):
        pass
    return order


def scramble_inside(images: Tensor, tiles: int, seed: int = 0) -> Tensor:
    """Scramble the largest centred part that the tiles divide; the rows and columns around it stay.

    Args:
        images: `[N, C, H, W]`.
        tiles: along each side, at most its pixels.
        seed: of the order; see `tile_order`.

    Raises:
        ParameterError: the images are smaller than the tiles.
    """
    height, width = images.shape[2:]
    if min(height, width) < tiles:
        raise ParameterError(
            f"images of {height} x {width} pixels cannot be cut into {tiles} x {tiles} tiles: choose fewer tiles"
        )
    top, left = height % tiles // 2, width % tiles // 2
    inside = np.s_[:, :, top : top + height // tiles * tiles, left : left + width // tiles * tiles]
    result = images.clone()
    result[inside] = scramble(images[inside], tile_order(tiles, seed))
    return result


@register("scramble", reference="Chen et al. 2020, arXiv:2006.09373", group="cues")
class Scramble(Stressor):
    """Scramble: puts the tiles of a picture in one order that is the same for all pictures; texture stays."""

    order: NonNegativeInt = Field(default=0, description="seed of the order of the tiles")

    @override
    def run(self, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        return scramble_inside(images, TILES[severity - 1], self.order)
