"""The archive of MAP-Elites: one cell a class, holding the image that is best there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from unshaken.core.errors import ParameterError
from unshaken.core.state import State

G = TypeVar("G", bound=State)


@dataclass(frozen=True, slots=True)
class Archive(Generic[G]):
    """Elites, one row a cell.

    Args:
        classes: the class of each cell.
        genomes: one row a cell.
        images: uint8 `[cells, C, H, W]`, what the genomes look like.
        odds: float64 `[cells]`, log-odds of the cell's class; minus infinity where the cell is empty.
        generation: int64 `[cells]`, when the elite came; -1 where the cell is empty.
    """

    classes: tuple[int, ...]
    genomes: G
    images: Tensor
    odds: Tensor
    generation: Tensor

    @classmethod
    def empty(cls, classes: tuple[int, ...], genomes: G, images: Tensor) -> Archive[G]:
        """Empty cells; a genome and an image, any, give the form."""
        cells = torch.zeros(len(classes), dtype=torch.int64)
        return cls(
            classes, genomes[cells], images[cells], torch.full((len(classes),), -torch.inf).double(), cells.sub(1)
        )

    @property
    def filled(self) -> Tensor:
        """Numbers of the cells that hold an elite, int64."""
        return (self.generation >= 0).nonzero().flatten()

    @property
    def confidence(self) -> Tensor:
        """Of each cell's elite in its class, float64; 0 where the cell is empty."""
        return self.odds.sigmoid()

    def offer(self, genomes: G, images: Tensor, odds: Tensor, generation: int) -> tuple[Archive[G], int]:
        """Compare every child with every cell; it moves in where it is strictly better. Children come one by one.

        Args:
            genomes: of n children.
            images: uint8 `[n, C, H, W]`.
            odds: float64 `[n, cells]`, the log-odds of each cell's class; minus infinity where it may not move in.
            generation: what is noted of those that move in.

        Returns:
            The archive afterwards, and how often a child replaced an elite (or filled a cell).

        Raises:
            ParameterError: the log-odds are not `[n, cells]`, or not a number.
        """
        if odds.shape != (len(images), len(self.classes)) or bool(odds.isnan().any()):
            raise ParameterError(
                f"log-odds must be numbers of shape {(len(images), len(self.classes))}, not {tuple(odds.shape)}"
                f"{' with NaN' if bool(odds.isnan().any()) else ''}"
            )
        best_so_far = torch.cat([self.odds[None], odds]).cummax(0).values
        jumps = int((odds > best_so_far[:-1]).sum())
        best, child = odds.max(0)
        better = (best > self.odds).nonzero().flatten()
        if not len(better):
            return self, 0
        source = torch.arange(len(self.classes)).index_copy(0, better, len(self.classes) + child[better])
        return (
            replace(
                self,
                genomes=type(genomes).concat([self.genomes, genomes])[source],
                images=torch.cat([self.images, images])[source],
                odds=best_so_far[-1],
                generation=self.generation.index_fill(0, better, generation),
            ),
            jumps,
        )
