"""Corrupted patches: single cells of a grid are corrupted, the rest of the image stays."""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveInt, field_validator
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.registry import parse_method, register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Corruption, Stressor


def paste(images: Tensor, others: Tensor, mask: Tensor) -> Tensor:
    """Other images under a mask: `x (1 - M) + c M`, without a rounding of either.

    Args:
        images: `[N, C, H, W]`.
        others: as `images`.
        mask: bool, broadcast over `images`.
    """
    return others.where(mask, images)


def cell_side(size: int | None, height: int, width: int) -> int:
    """The side of a cell in pixels; None asks for an eighth of the images' short side."""
    return size or max(1, round(min(height, width) / 8))


def cell_masks(rng: SampleRng, height: int, width: int, *, side: int, cells: int, offset: int = 0) -> Tensor:
    """Cells of a grid, drawn for each sample; more cells hold those of fewer.

    The grid has as many whole cells as fit; what is left over at the right and lower border belongs to none.

    Args:
        rng: the samples' streams.
        height: rows of the images in pixels.
        width: columns of the images in pixels.
        side: of a cell in pixels.
        cells: to be drawn, of all that fit.
        offset: pixels that the grid is moved down and to the right.

    Returns:
        Bool `[N, 1, H, W]` with `cells * side**2` true pixels a sample.

    Raises:
        ParameterError: more cells than fit into the images.
    """
    shape = grid_shape(height, width, side=side, cells=cells, offset=offset)
    place = rng.fold("cells").fresh(shape[0] * shape[1]).argsort(dim=1, stable=True).argsort(dim=1)
    return fill_cells((place < cells).view(-1, 1, *shape), height, width, side=side, offset=offset)


def grid_shape(height: int, width: int, *, side: int, cells: int, offset: int = 0) -> tuple[int, int]:
    """Rows and columns of a grid of whole cells.

    Args:
        height: rows of the images in pixels.
        width: columns of the images in pixels.
        side: of a cell in pixels.
        cells: that must fit at least.
        offset: pixels that the grid is moved down and to the right.

    Raises:
        ParameterError: more cells than fit into the images.
    """
    down, across = max(0, height - offset) // side, max(0, width - offset) // side
    if cells > down * across:
        raise ParameterError(
            f"cells={cells} of {side} x {side} pixels do not fit into images of {height} x {width}, which hold "
            f"{down * across}; choose fewer cells or a smaller side"
        )
    return down, across


def fill_cells(chosen: Tensor, height: int, width: int, *, side: int, offset: int = 0) -> Tensor:
    """The pixels of some cells, bool `[N, 1, H, W]`.

    Args:
        chosen: bool `[N, 1, rows, columns]`, by cell of the grid.
        height: rows of the images in pixels.
        width: columns of the images in pixels.
        side: of a cell in pixels.
        offset: pixels that the grid is moved down and to the right.
    """
    down, across = chosen.shape[2:]
    mask = chosen.repeat_interleave(side, 2).repeat_interleave(side, 3)
    return F.pad(mask, (offset, width - offset - across * side, offset, height - offset - down * side))


@register("patch_corruption", reference="Gu et al. 2022, arXiv:2111.10659", group="patch")
class PatchCorruption(Stressor):
    """Corrupt cells of a grid and leave the rest: `x (1 - M) + c(x) M`, c applied to the whole image first.

    With the cells aligned to a vision transformer's tokens, single tokens are corrupted. The cells are drawn for each
    sample and severity; they are the same for every corruption, and more cells hold those of fewer.
    """

    corruption: str = Field(default="gaussian_noise", description="a corruption by name, with parameters as NAME:k=v")
    cells: PositiveInt = Field(default=1, description="cells that are corrupted")
    size: NonNegativeInt = Field(default=0, description="side of a cell in pixels; 0 is an eighth of the short side")
    offset: NonNegativeInt = Field(default=0, description="pixels that the grid is moved down and to the right")

    @field_validator("corruption")
    @classmethod
    def _known(cls, name: str) -> str:
        corruption_of(name)
        return name

    @property
    @override
    def further_files(self) -> tuple[str, ...]:
        return corruption_of(self.corruption).further_files

    @override
    def run(self, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        height, width = images.shape[2:]
        side = cell_side(self.size, height, width)
        mask = cell_masks(rng, height, width, side=side, cells=self.cells, offset=self.offset)
        return paste(images, corruption_of(self.corruption).run(images, severity, rng.fold("corruption")), mask)


def corruption_of(text: str) -> Corruption:
    """The common corruption written as `NAME[:k=v]`.

    Raises:
        ParameterError: the name is not known, or is not that of a common corruption.
    """
    found = parse_method(text, "stress")
    if not isinstance(found, Corruption):
        raise ParameterError(f"patch_corruption: corruption={text!r} is not a common corruption, such as fog")
    return found
