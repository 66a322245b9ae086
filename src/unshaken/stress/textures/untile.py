"""Textures that no longer tile."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Stressor

KINDS = ("short", "turned", "stretched")
CUT = tuple(pixels / 64 for pixels in (3, 6, 9, 12, 15))
"""Share of each side by which a cut falls short of the period."""
ANGLES = (5.0, 13.75, 22.5, 31.25, 40.0)
"""Degrees, either way."""
STRETCHES = (1.1, 1.225, 1.35, 1.475, 1.6)
"""Factors along one axis, drawn."""


def read_repeating(image: Tensor, matrix: Tensor, start: Tensor, *, nearest: bool = False) -> Tensor:
    """Read a picture that repeats in both directions at `matrix @ (row, column) + start`.

    Args:
        image: one period, `[C, H, W]`.
        matrix: float64 `[2, 2]`; the identity reads pixel by pixel.
        start: float64 `[2]`, row and column of the first pixel.
        nearest: read the nearest pixel, in the place of bilinear interpolation.

    Returns:
        The same shape and type.
    """
    height, width = image.shape[1:]
    rows, columns = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    y, x = (m[0] * rows + m[1] * columns + s for m, s in zip(matrix, start, strict=True))
    if nearest:
        return image[:, y.round().long() % height, x.round().long() % width]
    top, left = y.floor(), x.floor()
    down, across = (y - top).to(image), (x - left).to(image)
    corners = [[(top + i).long() % height, (left + j).long() % width] for i in (0, 1) for j in (0, 1)]
    a, b, c, d = (image[:, one, other] for one, other in corners)
    return torch.lerp(torch.lerp(a, b, across), torch.lerp(c, d, across), down)


@register("untile", reference="Rodriguez-Pardo et al. 2024, arXiv:2403.12961", group="textures")
class Untile(Stressor):
    """Read a texture that tiles so that it does not: short of its period, turned, or stretched along one axis.

    The texture is taken to repeat, and read from a random place on; the kind is drawn for each sample. What comes out
    looks the same and has seams: negatives for a network that tells what tiles, or a test of one. A texture without
    structure of its own, such as one colour, tiles whatever is done to it.
    """

    kind: Literal["drawn", "short", "turned", "stretched"] = Field(
        default="drawn",
        description="cut short of the period, turned, or stretched along one axis; drawn for each sample",
    )

    @override
    def run(self, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        return self._read(images, severity, rng, nearest=False)

    @override
    def move_masks(self, masks: Tensor, severity: int, rng: SampleRng) -> Tensor:
        return self._read(masks[:, None], severity, rng, nearest=True)[:, 0]

    def _read(self, images: Tensor, severity: int, rng: SampleRng, *, nearest: bool) -> Tensor:
        kinds = rng.fold("kind").integers(0, len(KINDS)).tolist()
        places = rng.fold("place").uniform(2).cpu().double() * torch.tensor(images.shape[2:])
        turns = rng.fold("turn").uniform().tolist()
        result = torch.empty_like(images)
        for i, image in enumerate(images):
            kind = KINDS[kinds[i]] if self.kind == "drawn" else self.kind
            matrix = change(kind, severity, positive=turns[i] < 0.5)
            result[i] = read_repeating(image, matrix, places[i].floor(), nearest=nearest)
        return result


def change(kind: str, severity: int, *, positive: bool) -> Tensor:
    """The matrix of a kind of `KINDS` at a severity, float64 `[2, 2]`.

    Args:
        kind: of `KINDS`.
        severity: 1 to 5.
        positive: turn anticlockwise, or stretch along the rows; else the other way.
    """
    if kind == "short":
        return torch.eye(2, dtype=torch.float64) * (1 - CUT[severity - 1])
    if kind == "turned":
        angle = math.radians(ANGLES[severity - 1]) * (1 if positive else -1)
        turn = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        return torch.tensor(turn, dtype=torch.float64)
    factor = 1 / STRETCHES[severity - 1]
    return torch.diag(torch.tensor([factor, 1.0] if positive else [1.0, factor], dtype=torch.float64))
