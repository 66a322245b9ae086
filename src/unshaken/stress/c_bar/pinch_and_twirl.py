"""Pinch and twirl."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar._pattern import REFERENCE, PatternCorruption, places, sample_bilinear, severities, side


def pinch_and_twirl(image: Tensor, cell: int, amount: float, angles: Tensor) -> Tensor:
    """Inside a disc in each cell of a grid, draw the image together and turn it, the more the nearer to the centre.

    A pixel at the share d of the disc's radius reads the place at `d sin(pi d / 2)^-amount`, turned by
    `angle (1 - d)^2`.

    Args:
        image: float64 `[C, H, W]` in [0, 1].
        cell: side of a cell in pixels; the disc fills it.
        amount: strength of the pinch, at least 0.
        angles: in radians, by row and column of the grid; what is left of the image beyond it stays.

    Returns:
        The same shape.
    """
    rows, columns = places(image)
    radius, (down, across) = cell / 2, angles.shape
    row, column = (p.div(cell).floor() for p in (rows, columns))
    dy, dx = rows - (row * cell + radius), columns - (column * cell + radius)
    d = torch.hypot(dy, dx) / radius
    inside = (d <= 1) & (d * radius >= 5e-4) & (row < down) & (column < across)
    d = d.where(inside, 1)
    stretch = torch.sin(0.5 * math.pi * d) ** -amount
    chosen = angles[row.long().clamp(max=down - 1), column.long().clamp(max=across - 1)] * (1 - d) ** 2
    sine, cosine = torch.sin(chosen), torch.cos(chosen)
    moved_down, moved_across = (dy * cosine - dx * sine) * stretch - dy, (dy * sine + dx * cosine) * stretch - dx
    zero = torch.zeros_like(d)
    return sample_bilinear(image, rows + moved_down.where(inside, zero), columns + moved_across.where(inside, zero))


@register("pinch_and_twirl", reference=REFERENCE, group="c-bar")
class PinchAndTwirl(PatternCorruption):
    """Pinch and twirl discs on a grid: 3 a side, or 5 in images of 96 pixels and more."""

    strengths = severities(cifar=(5.5, 6, 6.5, 8.5, 10))

    @override
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        # amount 0.1 + 0.04 v, angles of plus or minus v pi / 20
        n = side(image)
        count = 5 if n >= 96 else 3
        down, across = (size * count // n for size in image.shape[1:])
        signs = widen(rng.fold("signs").integers(0, 2, down, across)[0]) * 2 - 1
        return pinch_and_twirl(image, n // count, 0.1 + 0.04 * v, signs.to(image.device) * (v * math.pi / 20))
