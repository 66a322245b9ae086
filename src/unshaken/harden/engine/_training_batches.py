"""The training samples as the loop takes them: shuffled for an epoch, a few of them, or all in their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.device import send
from unshaken.data.resident import Samples, order
from unshaken.harden.engine._processes import Processes

Labelled = tuple[Tensor, Tensor, Tensor]
"""Rows (places in the data set) `[n]`, images `[n, C, H, W]` in [0, 1] and labels `[n]`."""
EVALUATED = 512
"""Images of a batch where all are evaluated."""


@dataclass(frozen=True, slots=True)
class TrainingBatches:
    """The samples that are trained on.

    Args:
        samples: labelled.
        rows: places in the data set that are trained on, `[n]`.
        seed: the run seed.
        size: samples of a batch and process.
        processes: those that share the batches.
        channels_last: whether shuffled batches lie in memory with their channels last.
    """

    samples: Samples
    rows: NDArray[np.int64]
    seed: int
    size: int
    processes: Processes
    channels_last: bool

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return max(1, len(self.rows) // (self.size * self.processes.world))

    def epoch(
        self, number: int, use: str, device: torch.device, *, skip: int, steps: int, weights: Tensor | None
    ) -> Iterator[Labelled]:
        """This process's batches of an epoch, on the device.

        Args:
            number: of the epoch, from 0.
            use: name of the order.
            device: where images and labels go.
            skip: number of batches that were taken before.
            steps: number of batches in all.
            weights: see `order`.
        """
        world = self.processes.world
        rows = order(self.rows, self.seed, number, use, weights)[: steps * self.size * world]
        rows = rows.reshape(steps, world, -1)[skip:, self.processes.rank].reshape(-1)
        for part, images, labels in self.samples.batches(rows, self.size):
            shown = send(images, device)
            if self.channels_last:
                shown = shown.contiguous(memory_format=torch.channels_last)
            yield part, shown, send(labels, device)

    def all(self, device: torch.device) -> Iterator[Labelled]:
        """All samples in their order, on the device."""
        for found in self.samples.batches(self.rows, EVALUATED):
            yield send(found[0], device), send(found[1], device), send(found[2], device)

    def some(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Images and labels of a few samples, drawn once from the seed."""
        found = self.samples.whole(order(self.rows, self.seed, 0, "sample")[:count])
        return found.images.to(device), found.labels.to(device)  # type: ignore[union-attr]
