"""Spatial: the worst small rotation and shift of an image."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.losses import margin
from unshaken.attack.engine.problem import Problem
from unshaken.core.device import widen, widest_float
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Logits
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

FINEST = 2.0**20
"""Parts of a pixel to which places are rounded, so that right angles and whole shifts meet pixels exactly."""


class SpatialState(State):
    """State of the search, one row per sample.

    Args:
        problem: its task.
        step: transformations tried, int64 `[N]`.
        margin: the least met, `[N]`.
        best: the transformation it was met at, int64 `[N]`; -1 for none at all.
        rng: the sample's stream.
    """

    problem: Problem
    step: Tensor
    margin: Tensor
    best: Tensor
    rng: SampleRng


def moved(images: Tensor, angle: Tensor, shift: Tensor, *, padding: str = "zeros") -> Tensor:
    """Images turned about their centre, then shifted, with bilinear interpolation.

    Args:
        images: `[N, C, H, W]`.
        angle: degrees, counter-clockwise, `[N]`.
        shift: pixels down and right, `[N, 2]`.
        padding: what lies outside: `zeros`, or `border` for the nearest pixel of the image.

    Returns:
        The same shape; exact for right angles and whole shifts.
    """
    height, width = images.shape[2:]
    moves = torch.cat([widen(angle)[:, None], widen(shift)], 1)
    kinds, which = torch.unique(moves, dim=0, return_inverse=True)  # samples at one step often share theirs
    places, weights = _corners(kinds, height, width)
    wide = F.pad(images, (1, 1, 1, 1), mode="constant" if padding == "zeros" else "replicate").flatten(2)
    result = torch.zeros_like(images).flatten(2)
    for place, weight in zip(places, weights, strict=True):
        found = wide.gather(2, place[which][:, None].expand(-1, images.shape[1], -1))
        result.addcmul_(found, weight.to(images)[which][:, None])
    return result.view_as(images).clamp_(0, 1)


def _corners(kinds: Tensor, height: int, width: int) -> tuple[list[Tensor], list[Tensor]]:
    """For each transformation the four pixels that a pixel is mixed from, and their shares, each `[U, H W]`.

    `kinds` are degrees, pixels down and pixels right, `[U, 3]`. Places are those in the flattened image with one pixel
    around it.
    """
    radians = kinds[:, :1] * (math.pi / 180)
    cos, sin = radians.cos(), radians.sin()
    down = widen(torch.arange(height, device=kinds.device)) - (height - 1) / 2
    right = widen(torch.arange(width, device=kinds.device)) - (width - 1) / 2
    y, x = (axis.flatten() for axis in torch.meshgrid(down, right, indexing="ij"))
    y, x = y - kinds[:, 1:2], x - kinds[:, 2:]
    rows = ((cos * y + sin * x + (height - 1) / 2) * FINEST).round() / FINEST
    columns = ((cos * x - sin * y + (width - 1) / 2) * FINEST).round() / FINEST
    rows, columns = rows.clamp(-1, height), columns.clamp(-1, width)
    top, left = rows.floor().clamp_max(height - 1), columns.floor().clamp_max(width - 1)
    low, far = rows - top, columns - left
    first = ((top + 1) * (width + 2) + left + 1).long()
    places = [first, first + 1, first + width + 2, first + width + 3]
    return places, [(1 - low) * (1 - far), (1 - low) * far, low * (1 - far), low * far]


@lru_cache(maxsize=16)
def grid(rotation: float, translation: float, angles: int, shifts: int) -> tuple[tuple[float, float, float], ...]:
    """Angles (degrees) and shifts (shares of height and width), from large to small, the one that changes nothing out.

    >>> grid(30, 0, 3, 5)
    ((-30.0, 0.0, 0.0), (30.0, 0.0, 0.0))
    """
    turns, moves = _spread(rotation, angles), _spread(translation, shifts)
    every = [kind for kind in itertools.product(turns, moves, moves) if any(kind)]

    def size(kind: tuple[float, float, float]) -> float:
        return abs(kind[0]) / (rotation or 1.0) + (abs(kind[1]) + abs(kind[2])) / (translation or 1.0)

    return tuple(sorted(every, key=lambda kind: -round(size(kind), 9)))


def _spread(most: float, count: int) -> list[float]:
    """Values from -most to most, evenly, the middle one exactly 0."""
    if most == 0 or count == 1:
        return [0.0]
    return [most * (2 * i - count + 1) / (count - 1) for i in range(count)]


@register("spatial", reference="Engstrom et al. 2019, arXiv:1712.02779", needs=("logits",))
class Spatial(Attack[SpatialState]):
    """Spatial attack: searches for a small rotation and translation that change the prediction.

    Large transformations are tried first, and a sample leaves with the first that fools. What the image leaves free is
    filled by `padding`. The clean image, which is known already, is not queried again.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    norms: ClassVar[tuple[str, ...]] = ()

    rotation: float = Field(default=30.0, ge=0, le=180, description="largest rotation either way, in degrees")
    translation: NonNegativeFloat = Field(default=0.1, le=1, description="largest shift, as a share of the side")
    search: Literal["grid", "random"] = Field(default="grid", description="try a full grid, or random transformations")
    angles: PositiveInt = Field(default=31, description="number of angles in the grid")
    shifts: PositiveInt = Field(default=5, description="number of shifts per axis in the grid")
    draws: PositiveInt = Field(default=10, description="number of random transformations per sample")
    padding: Literal["zeros", "border"] = Field(
        default="zeros", description="fill for pixels from outside the image: black, or the border's values"
    )

    @override
    def start(self, problem: Problem, rng: SampleRng) -> SpatialState:
        zero = torch.zeros_like(problem.labels)
        return SpatialState(problem, zero, self._margin(problem, problem.logits), zero - 1, rng)

    @override
    def ask(self, state: SpatialState) -> Logits:
        return Logits(self._image(state, state.step))

    @override
    def tell(self, state: SpatialState, answer: Answer) -> SpatialState:
        value = self._margin(state.problem, required(answer.logits))
        better = value < state.margin
        return state.replace(
            step=state.step + 1,
            margin=torch.where(better, value, state.margin),
            best=torch.where(better, state.step, state.best),
        )

    @override
    def done(self, state: SpatialState) -> Tensor:
        return state.step >= self._count

    @override
    def result(self, state: SpatialState) -> Candidate:
        return Candidate(self._image(state, torch.where(self.done(state), state.best, state.step)))

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        return self._count, 0

    @property
    def _count(self) -> int:
        return self.draws if self.search == "random" else len(self._grid)

    @property
    def _grid(self) -> tuple[tuple[float, float, float], ...]:
        return grid(self.rotation, self.translation, self.angles, self.shifts)

    def _image(self, state: SpatialState, at: Tensor) -> Tensor:
        """The clean images under their transformations number `at`; unchanged where that is -1."""
        clean, bounds = state.problem.ball.clean, (self.rotation, self.translation, self.translation)
        if self.search == "random":
            kinds = widen(state.rng.fold(at).fresh(3, low=-1, high=1)) * widen(torch.tensor(bounds, device=at.device))
        elif self._grid:
            kinds = torch.tensor(self._grid, dtype=widest_float(at.device), device=at.device)[at]
        else:
            return clean
        kinds = kinds.masked_fill((at < 0)[:, None], 0)
        sides = torch.tensor(clean.shape[2:], dtype=widest_float(at.device), device=at.device)
        return moved(clean, kinds[:, 0], kinds[:, 1:] * sides, padding=self.padding)

    @staticmethod
    def _margin(problem: Problem, logits: Tensor) -> Tensor:
        value = margin(logits, problem.labels)
        return -value if problem.targeted else value
