"""Grey lines."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar._pattern import REFERENCE, PatternCorruption, draw, places, severities, side

GREY = 128 / 255


def line_cover(image: Tensor, start: tuple[int, int], end: tuple[int, int]) -> Tensor:
    """The share of each pixel that a line one pixel wide covers: one less the distance of the two.

    Args:
        image: gives the size.
        start: row and column of the line's first pixel, which may lie outside.
        end: of its last.

    Returns:
        Float64 `[H, W]` in [0, 1].
    """
    rows, columns = places(image)
    down, across = end[0] - start[0], end[1] - start[1]
    length = math.hypot(down, across) or 1.0
    distance = ((rows - start[0]) * across - (columns - start[1]) * down).abs() / length
    along, first, last = (rows, start[0], end[0]) if abs(down) > abs(across) else (columns, start[1], end[1])
    within = (along >= min(first, last)) & (along <= max(first, last))
    return (1 - distance).clamp(min=0) * within


def draw_lines(image: Tensor, ends: Iterable[tuple[tuple[int, int], tuple[int, int]]]) -> Tensor:
    """Draw grey lines one over the other, each cut to 8 bits as the authors do; see `line_cover`.

    Args:
        image: float64 `[C, H, W]` in [0, 1].
        ends: start and end of each line.

    Returns:
        The same shape.
    """
    for start, end in ends:
        cover = line_cover(image, start, end)
        drawn = ((1 - cover) * image + cover * GREY).mul(255).add(1e-4).floor() / 255
        image = torch.where(cover > 0, drawn, image)
    return image


@register("lines", reference=REFERENCE, group="c-bar")
class Lines(PatternCorruption):
    """Draw thin grey lines in about the same direction."""

    strengths = severities(cifar=(0.5, 1, 1.5, 2, 2.5))

    @override
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        # v / 10 lines a pixel of the side, each twice as long as it, around a random place
        n = side(image)
        count = int(v / 10 * n)
        main, spread = float(draw(rng, "angle", high=2 * math.pi)), float(draw(rng, "spread", low=0.1))
        ends = []
        for u, w, turn in draw(rng, "lines", count, 3).tolist():
            angle = main + 2 * math.pi * spread * (turn - 0.5)
            row, column = u * image.shape[1], w * image.shape[2]
            dy, dx = math.cos(angle) * n, math.sin(angle) * n
            ends.append(((int(row - dy), int(column - dx)), (int(row + dy), int(column + dx))))
        return draw_lines(image, ends)
