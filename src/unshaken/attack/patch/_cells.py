"""Searches over the pixels of grid cells: what they share, and which cells of an image matter most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self, TypeVar

import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveInt, PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.attack_run import AttackContext, Phase
from unshaken.attack.engine.base import Attack
from unshaken.core.flag import Flag
from unshaken.core.state import State
from unshaken.stress.patch.patch_corruption import fill_cells, grid_shape

S = TypeVar("S", bound=State)


class CellAttack(Attack[S]):
    """An attack on cells of a grid; its runs differ in their start and not in the place."""

    norms: ClassVar[tuple[str, ...]] = ()

    size: NonNegativeInt = Field(0, description="side of a cell in pixels; 0 is an eighth of the short side")
    cells: PositiveInt = Field(1, description="number of cells to attack")
    offset: NonNegativeInt = Field(0, description="pixels that the grid is moved down and to the right")
    restarts: PositiveInt = Field(
        1, description="number of random restarts; a sample that is fooled is not attacked again"
    )
    _run: int = PrivateAttr(0)

    @property
    @override
    def runs(self) -> int:
        return self.restarts

    @override
    def phases(self, context: AttackContext) -> tuple[Sequence[Phase], Sequence[Flag]]:
        name = self.info.name
        return [Phase(self._copy(r), name if r == 0 else f"{name}+{r + 1}") for r in range(self.runs)], []

    def _copy(self, run: int) -> Self:
        copy = self.model_copy()
        copy._run = run
        return copy


def highest_cells(importance: Tensor, *, side: int, cells: int, offset: int = 0) -> Tensor:
    """Those cells of a grid over which the importance of pixels sums highest; more cells hold those of fewer.

    Args:
        importance: `[N, 1, H, W]`.
        side: of a cell in pixels.
        cells: number to choose.
        offset: pixels that the grid is moved down and to the right.

    Returns:
        Bool `[N, 1, H, W]` with `cells * side**2` true pixels a sample.

    Raises:
        ParameterError: not so many cells fit into the images.
    """
    height, width = importance.shape[2:]
    shape = grid_shape(height, width, side=side, cells=cells, offset=offset)
    sums = F.avg_pool2d(importance[:, :, offset:, offset:], side)
    rank = sums.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return fill_cells((rank < cells).view(-1, 1, *shape), height, width, side=side, offset=offset)
