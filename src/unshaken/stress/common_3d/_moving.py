"""A camera that moves while the shutter is open: near things move farther in the picture than distant ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

FRAMES = 60
"""Frames of the whole move; a severity is the number that are averaged, from the first on."""


def parallax(depth: Tensor) -> Tensor:
    """How far a pixel moves as a share of the nearest: `d_min / d`, in (0, 1]."""
    return depth.min() / depth


def sideways(depth: Tensor, down: float, across: float, time: float) -> tuple[Tensor, Tensor]:
    """Where each pixel reads from after a move across the line of sight.

    Args:
        depth: `[H, W]`, above 0.
        down: pixels that the nearest point moves in all.
        across: as `down`.
        time: share of the move, from 0 to 1.

    Returns:
        Rows and columns `[H, W]`.
    """
    rows, columns = _places(depth)
    moved = parallax(depth) * time
    return rows + moved * down, columns + moved * across


def forwards(depth: Tensor, down: float, across: float, time: float) -> tuple[Tensor, Tensor]:
    """Where each pixel reads from after a move along the line of sight: the nearest point comes nearer by those shares.

    Args:
        depth: `[H, W]`, above 0.
        down: share of the picture's height that the nearest plane loses in all, in [0, 1).
        across: as `down`, of its width.
        time: share of the move, from 0 to 1.

    Returns:
        Rows and columns `[H, W]`.
    """
    rows, columns = _places(depth)
    moved, (height, width) = parallax(depth) * time, depth.shape
    middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
    return (
        middle_row + (rows - middle_row) * (1 - moved * down),
        middle_column + (columns - middle_column) * (1 - moved * across),
    )


def mean_frame(image: Tensor, places: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The mean of an image read at several places, the border repeated.

    Args:
        image: float64 `[C, H, W]`.
        places: rows and columns `[H, W]` of each frame.

    Returns:
        The same shape.
    """
    height, width = image.shape[1:]
    total = torch.zeros_like(image)
    for rows, columns in places:
        grid = torch.stack([columns * (2 / (width - 1)) - 1, rows * (2 / (height - 1)) - 1], -1)
        total += grid_sample(image[None], grid[None], padding_mode="border", align_corners=True)[0]
    return total / len(places)


def frame_times(frames: int) -> list[float]:
    """The times of the first frames of the move."""
    return [i / (FRAMES - 1) for i in range(frames)]


def _places(depth: Tensor) -> tuple[Tensor, Tensor]:
    rows, columns = (torch.arange(s, dtype=depth.dtype, device=depth.device) for s in depth.shape)
    return rows[:, None].expand_as(depth), columns[None].expand_as(depth)
