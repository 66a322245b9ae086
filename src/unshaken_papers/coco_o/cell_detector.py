"""`CellDetector`: a small detector whose every cell of a grid gives a score for each class and a box around itself."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.models.networks.box_output import MOST
from unshaken.models.networks.centernet import find_peaks
from unshaken.models.networks.nanodet import suppress
from unshaken.models.networks.small import conv_bn

Decoding = Literal["peaks", "suppression"]
LEAST = 0.005
"""Score from which a peak is given."""
RARE = -4.0
"""Logit of an untrained detector: objects are at few cells, and the loss of the others must not drown theirs."""


class CellDetector(nn.Module):
    """Convolutions down to a grid of cells of `stride` pixels, and a head of scores and distances.

    Args:
        classes: number of classes K.
        channels: of what comes in: of images, or of the maps of another network.
        stride: pixels of a cell; 1 where maps of another network come in, else a power of 2.
        width: channels of the convolutions.
        depth: convolutions on the grid.
        decoding: `peaks`: local maxima of the scores are boxes (CenterNet); `suppression`: all cells are, without those
            that repeat a better one (FCOS).
        pixels: of a cell in the images; default `stride`.
    """

    def __init__(
        self, classes: int, channels: int = 3, *, stride: int = 4, width: int = 48, depth: int = 4,
        decoding: Decoding = "peaks", pixels: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        steps = stride.bit_length() - 1
        sizes = [channels, *(max(16, width >> (steps - 1 - i)) for i in range(steps))]
        down = [conv_bn(a, b, 2) for a, b in pairwise(sizes)]
        grid = [conv_bn(sizes[-1] if i == 0 else width, width) for i in range(depth)]
        self.trunk = nn.Sequential(*down, *grid)
        self.scores, self.sides = nn.Conv2d(width, classes, 1), nn.Conv2d(width, 4, 1)
        nn.init.constant_(self.scores.bias, RARE)  # type: ignore[arg-type]
        self.decoding, self.pixels = decoding, pixels or stride

    def cells(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `[N, K, h, w]`, and distances `[N, 4, h, w]` in pixels from a cell's centre to the sides of its box.

        Sides are left, top, right and bottom.
        """
        maps = self.trunk(images)
        return self.scores(maps), F.softplus(self.sides(maps)) * self.pixels

    @override
    def forward(self, images: Tensor) -> list[dict[str, Tensor]]:
        logits, sides = self.cells(images)
        height, width = (side * self.pixels for side in logits.shape[2:])
        boxes = corners(sides, self.pixels)
        boxes = torch.minimum(boxes.clamp(min=0), boxes.new_tensor([width, height, width, height]))
        return [self._decode(*one) for one in zip(logits.sigmoid(), boxes, strict=True)]

    def _decode(self, scores: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        """Detections of one image from scores `[K, h, w]` and boxes `[h, w, 4]`."""
        if self.decoding == "suppression":
            return suppress(boxes.flatten(0, 1), scores.flatten(1).T)
        heights, labels, rows, columns = find_peaks(scores, MOST)
        strong = heights.detach() > LEAST
        return {"boxes": boxes[rows, columns][strong], "labels": labels[strong], "scores": heights[strong]}


def centres(rows: int, columns: int, pixels: int, like: Tensor) -> Tensor:
    """Centres of cells as (x, y) in pixels, `[rows, columns, 2]`."""
    y, x = (torch.arange(n, device=like.device, dtype=like.dtype) * pixels + pixels / 2 for n in (rows, columns))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def corners(sides: Tensor, pixels: int) -> Tensor:
    """Boxes `[N, h, w, 4]` as (left, top, right, bottom) from distances `[N, 4, h, w]`."""
    middle = centres(sides.shape[2], sides.shape[3], pixels, sides)
    left, top, right, bottom = sides.unbind(1)
    x, y = middle.unbind(-1)
    return torch.stack([x - left, y - top, x + right, y + bottom], -1)
