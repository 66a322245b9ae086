"""The shortest move onto a hyperplane inside the box [0, 1], in linf, l2 and l1.

With the gap `g = b - w.x`, a move of length `m_i >= 0` of coordinate i towards `sign(g w_i)` closes `|w_i| m_i` of
`|g|`, and the wall in that direction leaves `room_i`. The shortest moves are

- linf: `m_i = min(t, room_i)`, l2: `m_i = min(t |w_i|, room_i)`, with the one t that closes the gap;
- l1: coordinates in falling order of `|w_i|`, each as far as its wall, until the gap is closed.

What is closed is a concave, piecewise linear function of t, so that Newton's method from the left climbs to t and is
exact as soon as no further coordinate meets its wall: no sorting, and few steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

FIRST = 32
"""Coordinates that l1 sorts at first; all of them where these do not close the gap."""
TINY = 1e-30
"""Keeps divisions by zero finite."""


def onto_hyperplane(x: Tensor, w: Tensor, b: Tensor, norm: str) -> Tensor:
    """The least move d with `w.(x + d) = b` and `0 <= x + d <= 1`; where there is none, the one that comes nearest.

    Args:
        x: float `[N, D]` in [0, 1].
        w: normals, `[N, D]`.
        b: offsets, `[N]`.
        norm: `linf`, `l2` or `l1`, in which the move is least.

    Returns:
        Moves, `[N, D]`.

    >>> x, w = torch.tensor([[0.2, 0.3, 0.4]]), torch.tensor([[1.0, 2.0, -1.0]])
    >>> onto_hyperplane(x, w, torch.tensor([1.5]), "linf")
    tensor([[ 0.2750,  0.2750, -0.2750]])
    """
    return close_gaps(x[:, None], w, (b - (w * x).sum(1))[:, None], norm)[:, 0]


def close_gaps(x: Tensor, w: Tensor, gaps: Tensor, norm: str) -> Tensor:
    """The least moves d with `w.d = gap` and `0 <= x + d <= 1`, for P points that share a normal.

    Args:
        x: float `[N, P, D]` in [0, 1].
        w: normals, `[N, D]`.
        gaps: `[N, P]`.
        norm: `linf`, `l2` or `l1`, in which a move is least. In l1 coordinates of equal `|w_i|` go by their order.

    Returns:
        Moves, `[N, P, D]`; where no move closes the gap, all coordinates that help are at their walls.
    """
    size = w.abs()
    scale = size.amax(1, keepdim=True).clamp_min_(TINY)
    size /= scale
    gap = (gaps / scale)[:, :, None]
    towards = w.sign()[:, None] * gap.sign()
    room = (towards > 0).to(x).addcmul_(towards, x, value=-1)  # 1 - x upwards, x downwards, 0 where w is 0
    gap = gap.abs_().clamp_max_(2 * size.shape[1])  # no more than D can be closed
    moves = _filled(size, room, gap) if norm == "l1" else _level(size, room, gap, even=norm == "linf")
    return moves.mul_(towards)


def _level(size: Tensor, room: Tensor, gap: Tensor, *, even: bool) -> Tensor:
    """The moves `min(t rate, room)` that close the gap, `[N, P, D]`.

    Args:
        size: `|w|`, `[N, D]`, largest 1.
        room: `[N, P, D]`.
        gap: `[N, P, 1]`, not negative.
        even: rate 1, for linf; else `|w|`, for l2.
    """
    rate, weight = size[:, None], size[:, :, None]
    gain = weight if even else weight.square()  # what a free coordinate closes as t grows
    free = (room > 0).to(size)
    slope = free @ gain
    t = gap / slope.clamp_min(TINY)
    moves = torch.empty_like(room)
    for _ in range(size.shape[1]):
        torch.minimum(t if even else torch.mul(rate, t, out=moves), room, out=moves)
        torch.lt(moves, room, out=free)
        slope, before = free @ gain, slope
        if bool((slope >= before).all()):
            break
        t = t + (gap - moves @ weight).clamp_min_(0) / slope.clamp_min(TINY)
    return moves


def _filled(size: Tensor, room: Tensor, gap: Tensor) -> Tensor:
    """The moves that fill coordinates in falling order of `|w|` until the gap is closed, `[N, P, D]`."""
    moves, closed = _filled_by(_largest(size, FIRST), size, room, gap)
    rest = (~closed).nonzero().flatten()
    if len(rest) and size.shape[1] > FIRST:
        size, room = size[rest], room[rest]
        moves[rest] = _filled_by(_largest(size, size.shape[1]), size, room, gap[rest])[0]
    return moves


def _filled_by(order: Tensor, size: Tensor, room: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
    """Moves of the coordinates named by `order`, `[N, Q]`, in that order; and bool `[N]`: they close all P gaps."""
    index = order[:, None].expand(-1, room.shape[1], -1)
    weight, limit = size.gather(1, order)[:, None], room.gather(2, index)
    sums = (weight * limit).cumsum(2)
    left = gap - torch.nn.functional.pad(sums[:, :, :-1], (1, 0))
    part = torch.minimum((left / weight.clamp_min(TINY)).clamp_min_(0), limit)
    return torch.zeros_like(room).scatter_(2, index, part), (sums[:, :, -1:] >= gap).flatten(1).all(1)


def _largest(size: Tensor, count: int) -> Tensor:
    """Places of the largest entries of each row in falling order, equal ones by their place, `[N, count]`."""
    if count >= size.shape[1]:
        return size.sort(dim=1, descending=True, stable=True).indices
    places = size.topk(count, dim=1, sorted=False).indices.sort(1).values
    return places.gather(1, size.gather(1, places).sort(dim=1, descending=True, stable=True).indices)
