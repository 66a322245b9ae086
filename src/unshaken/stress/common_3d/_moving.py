"""A camera that moves while the shutter is open: near things move farther in the picture than distant ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from unshaken.core.rng import SampleRng

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


def draw_sideways(rng: SampleRng, height: int, width: int) -> tuple[float, float]:
    """How far `sideways` moves one sample, in pixels down and across: 50 to 75 of 512 widths across, up to 75 down."""
    sign, across, down = rng.uniform(3)[0].tolist()
    unit = min(height, width) / 512
    return (150 * down - 75) * unit, (50 + 25 * across) * (1 if sign < 0.5 else -1) * unit


def draw_forwards(rng: SampleRng) -> tuple[float, float]:
    """How far `forwards` moves one sample: shares of height and width, 0.4 to 0.5, that the nearest plane loses."""
    down, across = (rng.uniform(2)[0] * 0.1 + 0.4).tolist()
    return down, across


def frame(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """An image read at other places, the border repeated.

    Args:
        image: float64 `[C, H, W]`.
        rows: where each pixel reads from, `[H, W]`.
        columns: as `rows`.

    Returns:
        The same shape.
    """
    height, width = image.shape[1:]
    grid = torch.stack([columns * (2 / (width - 1)) - 1, rows * (2 / (height - 1)) - 1], -1)
    return grid_sample(image[None], grid[None], padding_mode="border", align_corners=True)[0]


def mean_frame(image: Tensor, places: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The mean of an image read at several places; see `frame`.

    Args:
        image: float64 `[C, H, W]`.
        places: rows and columns `[H, W]` of each frame.

    Returns:
        The same shape.
    """
    total = torch.zeros_like(image)
    for rows, columns in places:
        total += frame(image, rows, columns)
    return total / len(places)


def frame_times(frames: int) -> list[float]:
    """The times of the first frames of the move."""
    return [i / (FRAMES - 1) for i in range(frames)]


def _places(depth: Tensor) -> tuple[Tensor, Tensor]:
    rows, columns = (torch.arange(s, dtype=depth.dtype, device=depth.device) for s in depth.shape)
    return rows[:, None].expand_as(depth), columns[None].expand_as(depth)
