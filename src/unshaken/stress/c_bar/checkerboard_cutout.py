"""Grey cells of a chequered board."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.c_bar._pattern import REFERENCE, PatternCorruption, draw, places, severities, side

GREY = 128 / 255


def covered_cells(image: Tensor, angle: float, cell: float, covered: Tensor) -> Tensor:
    """The pixels of the black squares of a turned chessboard that are covered.

    Args:
        image: gives the size.
        angle: by which the board is turned, in radians.
        cell: side of a square in pixels.
        covered: bool `[G, G]`, by row and column of the board from the upper left pixel of the image; negative ones
            count from its end.

    Returns:
        Bool `[H, W]`.
    """
    rows, columns = places(image)
    down = (math.cos(angle) * rows + math.sin(angle) * columns) / cell
    across = (-math.sin(angle) * rows + math.cos(angle) * columns) / cell
    black = down.remainder(2).floor() == across.remainder(2).floor()
    return black & covered[down.trunc().long() % len(covered), across.trunc().long() % len(covered)]


@register("checkerboard_cutout", reference=REFERENCE, group="c-bar")
class CheckerboardCutout(PatternCorruption):
    """Cover some cells of a turned chequered board with grey."""

    strengths = severities(imagenet=(2, 3, 4, 5, 6), cifar=(1, 2, 3, 4, 5))

    @override
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        cell = max(float(draw(rng, "cell", low=0.1, high=0.25)) * side(image), 1)
        count = int(4 * max(image.shape[1:]) // cell)
        covered = (draw(rng, "covered", count, count) < v / 10).to(image.device)
        grey = covered_cells(image, float(draw(rng, "angle", high=2 * math.pi)), cell, covered)
        return torch.where(grey, GREY, image)
