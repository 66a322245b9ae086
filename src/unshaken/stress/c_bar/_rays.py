"""Stars with rays of random lengths."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unshaken.stress.c_bar._pattern import places


def star(image: Tensor, centre: tuple[float, float], lengths: Tensor, exponent: float) -> Tensor:
    """How bright a star is: `clip((1 - (f - 1/2)^2) (L^2 / (r^2 + 1e-4))^exponent)`.

    r is the distance from the centre, L the length between the two nearest rays and f the place between them, from 0
    to 1.

    Args:
        image: gives the size.
        centre: row and column.
        lengths: of the rays in pixels `[R]`, evenly around.
        exponent: the higher, the sharper is the edge.

    Returns:
        Float64 `[H, W]` in [0, 1].
    """
    rows, columns = places(image)
    dy, dx = rows - centre[0], columns - centre[1]
    turn = (torch.atan2(dx, dy) + math.pi) / (2 * math.pi) * len(lengths)
    ray = turn.floor()
    f = turn - ray
    first, second = (lengths[(ray.long() + step) % len(lengths)] for step in (0, 1))
    reach = first + f * (second - first)
    glow = (reach**2 / (dy**2 + dx**2 + 1e-4)) ** exponent
    return ((1 - (f - 0.5) ** 2) * glow).clamp(0, 1)
