"""How the Square attack moves mass between windows in l2 and l1, after a bump of both signs."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

TINY = 1e-12
POWERS = {"l2": 2, "l1": 4}
"""By which power of its number a ring of the bump falls off."""


def bump(side: int, norm: str) -> Tensor:
    """The profile of a window: a positive peak over a negative one, of norm 1.

    Each peak is a pile of centred squares, the k-th of height `1 / k^2` in l2 and `1 / k^4` in l1.

    Args:
        side: in pixels, at least 1.
        norm: `l2` or `l1`.

    Returns:
        `[side, side]`.
    """
    half = side // 2
    return _unit(torch.cat([_peak(half, side, norm), -_peak(side - half, side, norm)]), norm)


def tiled(shape: tuple[int, int], choice: Tensor, signs: Tensor, norm: str) -> Tensor:
    """The start: the image covered by bumps of a fifth of its short side.

    Args:
        shape: height and width.
        choice: bool `[N, 1, T]`, T the number of tiles (`tiles`): whether a bump is transposed.
        signs: 1 or -1, `[N, C, T]`.
        norm: `l2` or `l1`.

    Returns:
        `[N, C, height, width]`, not scaled.
    """
    side, rows, columns = tiles(shape)
    one = bump(side, norm).to(signs)
    each = torch.where(choice[..., None, None], one.T, one) * signs[..., None, None]  # [N, C, T, side, side]
    n, channels = signs.shape[:2]
    wall = each.view(n, channels, rows, columns, side, side).transpose(3, 4)
    top, left = (shape[0] - rows * side) // 2, (shape[1] - columns * side) // 2
    result = signs.new_zeros(n, channels, *shape)
    result[:, :, top : top + rows * side, left : left + columns * side] = wall.reshape(
        n, channels, rows * side, columns * side
    )
    return result


def tiles(shape: tuple[int, int]) -> tuple[int, int, int]:
    """Side of a tile, rows of tiles and columns of them, for an image of height and width."""
    side = max(min(shape) // 5, 1)
    return side, shape[0] // side, shape[1] // side


def window(corner: Tensor, side: Tensor, width: int, span: int) -> Tensor:
    """Places of a square window's pixels in a flattened plane; where it is smaller than `span` its last ones repeat.

    Args:
        corner: int64 `[N, 2]`: row and column of its first pixel.
        side: int64 `[N]`, at most `span`.
        width: of the plane.
        span: pixels a row and column of the result.

    Returns:
        int64 `[N, span * span]`.
    """
    offset = torch.minimum(torch.arange(span, device=side.device), side[:, None] - 1)
    rows, columns = (corner[:, :1] + offset) * width, corner[:, 1:] + offset
    return (rows[:, :, None] + columns[:, None]).flatten(1)


def moved(
    delta: Tensor, eps: Tensor, corners: Tensor, side: Tensor, profile: Tensor, signs: Tensor, norm: str
) -> Tensor:
    """The mass of a second window moved into a first one, along its old form plus a bump.

    Per channel the first window becomes a multiple of `sign * bump + old / |old|`, whose norm is that of both windows
    and of what the budget has left, shared by the channels; the second window becomes 0.

    Args:
        delta: `[N, C, H, W]`.
        eps: `[N]`.
        corners: int64 `[N, 2, 2]`: row and column of the first and the second window.
        side: int64 `[N]`.
        profile: the bump of each sample, `[N, S, S]` with S the largest side; beyond a sample's own side its last
            row and column repeat.
        signs: 1 or -1, `[N, C]`.
        norm: `l2` or `l1`.

    Returns:
        `[N, C, H, W]`, neither scaled nor clipped.
    """
    channels, width, span = delta.shape[1], delta.shape[3], profile.shape[-1]
    flat = delta.flatten(2)
    own = torch.arange(span, device=side.device) < side[:, None]
    valid = (own[:, :, None] & own[:, None]).flatten(1)[:, None]
    away = corners[:, 1, :, None] + torch.arange(span, device=side.device) - corners[:, 0, :, None]
    shared = (away >= 0) & (away < side[:, None, None])
    outside = ~(shared[:, 0, :, None] & shared[:, 1, None]).flatten(1)[:, None]
    first, second = (window(corners[:, i], side, width, span)[:, None].expand(-1, channels, -1) for i in range(2))
    old = flat.gather(2, first)
    inside = _mass(old * valid, norm)
    both = inside + _mass(flat.gather(2, second) * (valid & outside), norm)
    whole, radius = _mass(flat, norm).sum(1, keepdim=True), eps.view(-1, 1, 1)
    fresh = profile.flatten(1)[:, None] * signs[:, :, None]
    if norm == "l2":
        fresh = fresh + old / (inside.sqrt() + TINY)
        size = (((radius**2 - whole).clamp_min(0) / channels + both) / (_mass(fresh * valid, norm) + TINY**2)).sqrt()
    else:
        fresh = fresh + old / (inside + TINY)
        size = ((radius - whole).clamp_min(0) + both * channels) / (_mass(fresh * valid, norm) + TINY)
    return flat.scatter(2, second, 0.0).scatter_(2, first, fresh * size).view_as(delta)


@lru_cache(maxsize=64)
def profiles(sides: tuple[int, ...], norm: str, device: torch.device) -> Tensor:
    """The bumps of several sides and their transposes, `[sides, 2, S, S]`, each edge repeated up to the largest."""
    span, found = max(sides), []
    for side in sides:
        near = torch.arange(span).clamp_max(side - 1)
        one = bump(side, norm)
        found.append(torch.stack([one[near][:, near], one.T[near][:, near]]))
    return torch.stack(found).to(device)


def _peak(rows: int, columns: int, norm: str) -> Tensor:
    """A pile of centred squares cut to `[rows, columns]`, of norm 1."""
    if not rows:
        return torch.zeros(0, columns)
    middle = (rows // 2, columns // 2)
    heights = torch.arange(1, max(middle) + 2).double() ** -POWERS[norm]
    piles = heights.flip(0).cumsum(0).flip(0)  # all squares from the k-th on cover ring k
    ring = torch.maximum(
        (torch.arange(rows) - middle[0]).abs()[:, None], (torch.arange(columns) - middle[1]).abs()[None]
    )
    return _unit(piles[ring].float(), norm)


def _unit(x: Tensor, norm: str) -> Tensor:
    return x / x.norm() if norm == "l2" else x / x.abs().sum()


def _mass(x: Tensor, norm: str) -> Tensor:
    """Sum of squares (l2) or of sizes (l1) over the last dimension, kept."""
    return (x.square() if norm == "l2" else x.abs()).sum(-1, keepdim=True)
