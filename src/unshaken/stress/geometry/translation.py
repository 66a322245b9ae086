"""Translation: the camera moves by whole pixels."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.boxes import shift_boxes
from unshaken.core.errors import ParameterError
from unshaken.core.masks import IGNORED
from unshaken.core.registry import register
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


Fill = Literal["edge", "reflect", "zero"]


def window(images: Tensor, dy: int, dx: int, height: int, width: int) -> Tensor:
    """Cut a window of `height` x `width` pixels, moved from the centre of a larger picture.

    This is the realistic translation: one row or column leaves and a real one enters. The clean view is
    `window(images, 0, 0, height, width)`. It needs pictures with a margin; nothing is made up.

    Args:
        images: `[N, C, H, W]` with `H >= height`, `W >= width`.
        dy: pixels down (the content goes up), at most the margin.
        dx: pixels to the right (the content goes left), at most the margin.
        height: rows of the view.
        width: columns of the view.

    Returns:
        A view `[N, C, height, width]` of the images.

    Raises:
        ParameterError: the window leaves the images.
    """
    top, left = (images.shape[2] - height) // 2 + dy, (images.shape[3] - width) // 2 + dx
    if not (0 <= top <= images.shape[2] - height and 0 <= left <= images.shape[3] - width):
        raise ParameterError(
            f"translation: a window of {height} x {width} moved by ({dy}, {dx}) leaves images of "
            f"{images.shape[2]} x {images.shape[3]} pixels; give images with a larger margin"
        )
    return images[:, :, top : top + height, left : left + width]


def translation(images: Tensor, dy: Tensor, dx: Tensor, fill: Fill = "edge") -> Tensor:
    """Move the camera at a fixed image size: pixel `(y, x)` becomes that of `(y + dy, x + dx)`.

    Where no margin is left, what enters is made up: the border repeated (`edge`), the image mirrored at its border
    pixels (`reflect`) or black (`zero`). Everything else is as in `window`.

    Args:
        images: `[N, C, H, W]`.
        dy: int64 `[N]`, pixels down, below H in size.
        dx: int64 `[N]`, pixels to the right, below W in size.
        fill: what enters.

    Returns:
        The same shape.
    """
    return gather(images, dy, dx, fill)


@register("translation", reference="Azulay & Weiss 2019, arXiv:1805.12177", group="geometry")
class Translation(Shift):
    """Move the camera by 1 to 5 pixels (the severity) in one of eight directions, drawn for each sample.

    The size stays, so the rows and columns that enter are made up by `fill`, not seen: at one pixel and 28 x 28 that
    is at most 55 of 784 pixels. For pictures with a margin, `window` gives the real ones.
    """

    fill: Fill = Field(default="edge", description="fill for new pixels: repeat the border, mirror the image, or black")

    @property
    @override
    def filling(self) -> str:
        return self.fill

    @override
    def run(self, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        dy, dx = self.moves(severity, rng)
        return translation(images, dy.to(images.device), dx.to(images.device), self.fill)
