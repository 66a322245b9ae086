"""TexTile: how tileable a texture is, by a classifier that sees it tiled; it has a gradient and so is a loss, too."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from unshaken.core.errors import ParameterError

SHARPNESS = 0.25

Network = Callable[[Tensor], Tensor]


def tile(textures: Tensor, n: int = 2) -> Tensor:
    """Lay n x n copies of each texture side by side.

    Args:
        textures: `[N, C, H, W]`.
        n: copies each way, at least 1.

    Returns:
        `[N, C, n H, n W]`; a gradient adds up over the copies.
    """
    return textures.repeat(1, 1, n, n)


def logistic(logits: Tensor, sharpness: float = SHARPNESS) -> Tensor:
    """`1 / (1 + exp(-sharpness z))`: the score in (0, 1) of a logit z.

    >>> [round(t, 4) for t in logistic(torch.tensor([-4.0, 0.0, 4.0])).tolist()]
    [0.2689, 0.5, 0.7311]
    """
    return torch.sigmoid(sharpness * logits)


def tile_logits(network: Network, textures: Tensor, *, tiles: int = 1, side: int | None = None) -> Tensor:
    """The logit of "tileable", higher for better; it has a gradient.

    Args:
        network: from images in [0, 1] to logits `[N, 2]`, whose second class is "tileable", such as a classifier
            trained with `TileNet`, which lays out the tiles itself; or to `[N]` or `[N, 1]`.
        textures: `[N, C, H, W]` in [0, 1]. Several maps of one material (albedo, normals) are scored each.
        tiles: copies each way that are laid out before the network; 2 for a network as the publication's.
        side: pixels to which the tiled picture is resized; None for its own size. Small seams of large textures do
            not survive it.

    Returns:
        `[N]`.

    Raises:
        ParameterError: the network gives another number of logits.
    """
    shown = tile(textures, tiles) if tiles > 1 else textures
    if side is not None and shown.shape[2:] != (side, side):
        shown = interpolate(shown, (side, side), mode="bilinear", antialias=True)
    logits = network(shown)
    if logits.ndim == 2 and logits.shape[1] == 2:
        return logits[:, 1] - logits[:, 0]
    if logits.numel() == len(textures):
        return logits.reshape(-1)
    raise ParameterError(
        f"tileability: the network gives logits {tuple(logits.shape)}; give one of two classes, broken and tileable"
    )


def tile_score(
    network: Network, textures: Tensor, *, tiles: int = 1, side: int | None = None, sharpness: float = SHARPNESS
) -> Tensor:
    """TexTile's score in (0, 1), higher for better; see `tile_logits` and `logistic`.

    As a loss, `1 - tile_score(...)` needs a term beside it that keeps the content: a constant picture tiles perfectly.
    """
    return logistic(tile_logits(network, textures, tiles=tiles, side=side), sharpness)
