"""Adversarial patch: some pixels are free, all others stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self, TypeVar

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.attack_run import AttackContext, Phase
from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.problem import Problem
from unshaken.core.batch import Batch
from unshaken.core.errors import ParameterError
from unshaken.core.flag import Flag
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.stress.patch.patch_corruption import cell_masks, cell_side, fill_cells, grid_shape

S = TypeVar("S", bound=State)


class CellAttack(Attack[S]):
    """An attack on cells of a grid; its runs differ in their start and not in the place."""

    norms: ClassVar[tuple[str, ...]] = ()

    size: PositiveInt | None = Field(
        default=None, description="side of a cell in pixels; default an eighth of the short side"
    )
    cells: PositiveInt = Field(default=1, description="number of cells to attack")
    offset: NonNegativeInt = Field(default=0, description="pixels that the grid is moved down and to the right")
    restarts: PositiveInt = Field(
        default=1, description="number of random restarts; a sample that is fooled is not attacked again"
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
        ParameterError: more cells than fit into the images.
    """
    height, width = importance.shape[2:]
    shape = grid_shape(height, width, side=side, cells=cells, offset=offset)
    sums = F.avg_pool2d(importance[:, :, offset:, offset:], side)
    rank = sums.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return fill_cells((rank < cells).view(-1, 1, *shape), height, width, side=side, offset=offset)


class PatchState(State):
    """One row a sample: its task, the current point and the steps made."""

    problem: Problem
    x: Tensor
    step: Tensor


@register("patch", reference="Gu et al. 2022, arXiv:2111.10659")
class Patch(CellAttack[PatchState]):
    """Adversarial patch: signed gradient ascent on the pixels of a patch, one patch per image.

    The patch is one cell of a grid, or several, drawn for each sample: the same in every run from a fresh start, and
    more cells hold those of fewer. Or it is one square at a fixed place, which need not lie on the grid.
    """

    place: Literal["random", "fixed"] = Field(
        default="random", description="random cells for each sample, or one fixed square"
    )
    row: NonNegativeInt = Field(default=0, description="upper row of the fixed square in pixels")
    column: NonNegativeInt = Field(default=0, description="left column of the fixed square in pixels")
    steps: NonNegativeInt = Field(default=50, description="gradient steps; 0 leaves the start as it is")
    step_size: PositiveFloat = Field(default=0.1, description="step a, in [0, 1] pixel units")
    random_start: bool = Field(default=True, description="start with random pixels, else with the image's own")

    @override
    def ball(self, clean: Tensor, eps: Tensor, norm: str, rng: SampleRng) -> Ball:
        return Ball.region(clean, self.mask(rng, *clean.shape[2:]).to(clean.device))

    def placed(self, batch: Batch, seed: int = 0) -> Tensor:
        """Where `attack` puts the patch of each sample under a run seed, bool `[N, 1, H, W]`."""
        rng = SampleRng.of(seed, self.info.name, batch.ids).fold(0)  # as the stages below are numbered
        return self.mask(rng, *batch.images.shape[2:])

    def mask(self, rng: SampleRng, height: int, width: int) -> Tensor:
        """Where the patch of each sample lies, bool `[N, 1, H, W]`.

        Raises:
            ParameterError: the patch does not fit into the images.
        """
        side = cell_side(self.size, height, width)
        if self.place == "random":
            return cell_masks(rng, height, width, side=side, cells=self.cells, offset=self.offset)
        if self.row + side > height or self.column + side > width or self.cells > 1:
            raise ParameterError(
                f"patch: {self.cells} squares of {side} pixels at row {self.row}, column {self.column} do not fit into "
                f"images of {height} x {width}; for place=fixed use cells=1 and a square inside the image"
            )
        mask = torch.zeros(len(rng), 1, height, width, dtype=torch.bool)
        mask[:, :, self.row : self.row + side, self.column : self.column + side] = True
        return mask

    @override
    def start(self, problem: Problem, rng: SampleRng) -> PatchState:
        ball = problem.ball
        x = ball.random_point(rng.fold(self._run)) if self.random_start else ball.clean
        return PatchState(problem, x, torch.zeros(len(problem), dtype=torch.int64))

    @override
    def ask(self, state: PatchState) -> Gradient:
        return Gradient(state.x, of=state.problem.loss)

    @override
    def tell(self, state: PatchState, answer: Answer) -> PatchState:
        ball = state.problem.ball
        step = ball.steepest(required(answer.gradient), state.x)
        return state.replace(x=ball.project(state.x + self.step_size * step), step=state.step + 1)

    @override
    def done(self, state: PatchState) -> Tensor:
        return state.step >= self.steps

    @override
    def result(self, state: PatchState) -> Candidate:
        return Candidate(state.x)

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        return self.steps, self.steps
