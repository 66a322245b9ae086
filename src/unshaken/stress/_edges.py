"""Edges, distances to them and histogram equalisation of 8-bit maps, as OpenCV defines them, for whole batches."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import label
from torch import Tensor
from torch.nn.functional import pad

_ONE, _DIAGONAL, _KNIGHT = 65536, 91750, 143976  # 1, 1.4 and 2.1969 in 16 binary digits


def canny(maps: Tensor, low: float, high: float) -> Tensor:
    """Canny's edges (1986) with 3 x 3 Sobel gradients and their 1-norm.

    Args:
        maps: float32 `[N, 1, H, W]` of whole numbers from 0 to 255.
        low: gradients above it continue an edge.
        high: gradients above it start one.

    Returns:
        Bool `[N, 1, H, W]`.
    """
    framed = pad(maps, (1, 1, 1, 1), mode="replicate")
    down, across = framed[:, :, :-2] + framed[:, :, 2:], framed[..., :-2] + framed[..., 2:]
    down = down.add_(framed[:, :, 1:-1], alpha=2)
    across = across.add_(framed[..., 1:-1], alpha=2)
    dx, dy = down[..., 2:] - down[..., :-2], across[:, :, 2:] - across[:, :, :-2]
    size = dx.abs() + dy.abs()
    around = pad(size, (1, 1, 1, 1))
    height, width = maps.shape[2:]

    def at(down: int, right: int) -> Tensor:
        return around[:, :, 1 + down : 1 + down + height, 1 + right : 1 + right + width]

    tangent = dx.abs() * 0.41421356  # of 22.5 degrees
    flat, steep = dy.abs() < tangent, dy.abs() > tangent + 2 * dx.abs()
    peak = torch.where(
        flat,
        (size > at(0, -1)) & (size >= at(0, 1)),
        torch.where(
            steep,
            (size > at(-1, 0)) & (size >= at(1, 0)),
            torch.where(
                (dx < 0) == (dy < 0),
                (size > at(-1, -1)) & (size > at(1, 1)),
                (size > at(-1, 1)) & (size > at(1, -1)),
            ),
        ),
    ) & (size > low)
    return _touching(peak, peak & (size > high))


def _touching(places: Tensor, seeds: Tensor) -> Tensor:
    """The connected regions (8 neighbours) of places that hold a seed: bool `[N, 1, H, W]`, as both are."""
    together = np.zeros((3, 3, 3), bool)
    together[1] = True
    regions, count = label(places[:, 0].cpu().numpy(), together)
    keep = np.zeros(count + 1, bool)
    keep[regions[seeds[:, 0].cpu().numpy()]] = True
    return torch.from_numpy(keep[regions])[:, None].to(places.device)


def chamfer(edges: Tensor, limit: int) -> Tensor:
    """Distance to the nearest edge in Borgefors' 5 x 5 chamfer metric (1986), steps 1, 1.4 and 2.1969.

    Args:
        edges: bool `[N, 1, H, W]`.
        limit: larger distances are cut to it.

    Returns:
        Float32 `[N, 1, H, W]`, pixels.
    """
    width, height = edges.shape[3], edges.shape[2]
    place = torch.arange(width, device=edges.device, dtype=torch.float32)
    far = 2.0 * (width + limit)
    before = torch.cummax(torch.where(edges, place, -far), 3).values
    after = torch.cummin(torch.where(edges, place, far).flip(3), 3).values.flip(3)
    across = torch.minimum(place - before, after - place).clamp_(max=limit + 1)
    best = torch.full_like(across, limit * _ONE)
    framed = pad(across, (0, 0, limit, limit), value=limit + 1)
    for k in range(limit + 1):
        near = torch.minimum(framed[:, :, limit - k :][:, :, :height], framed[:, :, limit + k :][:, :, :height])
        torch.minimum(best, _norm(near, k), out=best)
    return best.div_(_ONE)


def _norm(across: Tensor, down: int) -> Tensor:
    """The chamfer length of a move: the largest of four planes, for it is a norm with a ball of 16 corners."""
    long, short = _KNIGHT - _DIAGONAL, 2 * _DIAGONAL - _KNIGHT
    length = torch.maximum(across * _ONE + (_KNIGHT - 2 * _ONE) * down, across * (_KNIGHT - 2 * _ONE) + _ONE * down)
    return torch.maximum(length, torch.maximum(across * long + short * down, across * short + long * down))


def mean3(maps: Tensor) -> Tensor:
    """Mean over 3 x 3 pixels, mirrored at the border pixels: `[N, 1, H, W]`."""
    framed = pad(maps, (1, 1, 1, 1), mode="reflect")
    rows = (framed[:, :, :-2] + framed[:, :, 1:-1]).add_(framed[:, :, 2:])
    return (rows[..., :-2] + rows[..., 1:-1]).add_(rows[..., 2:]).div_(9)


def relief(maps: Tensor) -> Tensor:
    """Emboss 8-bit maps by `[[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]`, mirrored at the border pixels, clipped."""
    framed = pad(maps, (1, 1, 1, 1), mode="reflect")
    above, level, below = framed[:, :, :-2], framed[:, :, 1:-1], framed[:, :, 2:]
    total = (below[..., 2:] - above[..., :-2]).mul_(2).add_(maps)
    total.add_(level[..., 2:]).sub_(level[..., :-2])
    return total.add_(below[..., 1:-1]).sub_(above[..., 1:-1]).clamp_(0, 255)


def equalize(maps: Tensor) -> Tensor:
    """Spread the levels so that their histogram is flat: `round(255 (F(v) - F(v_0)) / (1 - F(v_0)))`.

    Args:
        maps: float32 `[N, 1, H, W]` of whole numbers from 0 to 255.

    Returns:
        The same shape; a map of one level stays as it is.
    """
    levels = maps.flatten(1).long()
    histogram = levels.new_zeros(len(maps), 256).scatter_add_(1, levels, torch.ones_like(levels))
    least = levels.amin(1, keepdim=True)
    first = histogram.gather(1, least)
    above = histogram.cumsum(1) - first
    total = levels.shape[1] - first
    table = (above.float() * (255 / total.clamp(min=1).float())).round_()
    spread = table.gather(1, levels)
    return torch.where(total == 0, maps.flatten(1), spread).view_as(maps)
