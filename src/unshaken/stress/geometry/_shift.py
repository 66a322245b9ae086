"""Shared by moves by whole pixels: the direction, and where each pixel comes from."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.boxes import shift_boxes
from unshaken.core.masks import IGNORED
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Stressor

NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""The eight directions `(dy, dx)` of a move."""


def gather(images: Tensor, dy: Tensor, dx: Tensor, fill: str) -> Tensor:
    """Pixel `(y, x)` becomes that of `(y + dy, x + dx)`; `fill` is `edge`, `reflect`, `zero` or `wrap`."""
    rows = _source(dy, images.shape[2], fill)
    columns = _source(dx, images.shape[3], fill)
    result = torch.empty_like(images, memory_format=torch.contiguous_format)
    for image, target, row, column in zip(images, result, rows, columns, strict=True):
        torch.index_select(image.index_select(2, column.clamp(min=0)), 1, row.clamp(min=0), out=target)
        if fill == "zero":
            target.masked_fill_((row < 0)[:, None] | (column < 0), 0)
    return result


def _source(shift: Tensor, size: int, fill: str) -> Tensor:
    """Where each place of a side comes from, `[N, size]`; -1 for nowhere."""
    place = torch.arange(size, device=shift.device) + shift[:, None]
    if fill == "wrap":
        return place % size
    if fill == "edge":
        return place.clamp_(0, size - 1)
    if fill == "reflect":
        place = place.abs()
        return torch.minimum(place, 2 * (size - 1) - place)
    return torch.where((place >= 0) & (place < size), place, -1)


class Shift(Stressor):
    """A move by `severity` pixels to one of the eight neighbours, drawn for each sample."""

    @property
    def filling(self) -> str:
        """How the part that enters the image is filled; see `gather`."""
        return "wrap"

    def moves(self, severity: int, rng: SampleRng) -> tuple[Tensor, Tensor]:
        """Pixels down and to the right, int64 `[N]` each."""
        steps = torch.tensor(NEIGHBOURS, device=rng.keys.device)[rng.fold("direction").integers(0, len(NEIGHBOURS))]
        return steps[:, 0] * severity, steps[:, 1] * severity

    @override
    def move_masks(self, masks: Tensor, severity: int, rng: SampleRng) -> Tensor:
        dy, dx = (step.to(masks.device) for step in self.moves(severity, rng))
        return gather(masks[:, None] - IGNORED, dy, dx, self.filling)[:, 0] + IGNORED

    @override
    def move_boxes(self, boxes: Tensor, height: int, width: int, severity: int, rng: SampleRng) -> Tensor:
        return shift_boxes(boxes, *self.moves(severity, rng), height, width)
