"""`Probabilities`: class probabilities of all samples, read in blocks: memory does not grow with their number."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import DataError
from unshaken.measure.statistics.columns import Indices, Numbers

BLOCK = 1 << 22
"""Numbers in a block: 32 MiB as float64."""
SCATTERED = 32
"""Rows read from all over a mapped file before its pages are given back: each may bring 2 MiB of it into memory."""
SLACK = 1e-3
"""How far a row's sum may be from 1; half precision rounds so much. It is divided by its sum."""


@dataclass(frozen=True, slots=True)
class Probabilities:
    """Probabilities `[N, K]` that a model gives each sample's classes, out of sample: it was not trained on the sample.

    Args:
        values: real numbers `[N, K]`, in memory or mapped from a file.
        source: what to call them in messages.

    Raises:
        DataError: it is not two-dimensional, has no row or fewer than two classes, or is of another type.
    """

    values: NDArray[Any]
    source: str = "probabilities"

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.values) == 0 or self.values.shape[1] < 2:
            raise DataError(
                f"{self.source}: of shape {self.values.shape}; needed is one row a sample, one column a class"
            )
        if not np.issubdtype(self.values.dtype, np.floating):
            raise DataError(f"{self.source}: of type {self.values.dtype}; needed are floating-point numbers")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.values.shape[1])

    def blocks(self) -> Iterator[tuple[slice, Numbers]]:
        """All rows in their order, float64, each divided by its sum.

        Raises:
            DataError: a row has a value outside [0, 1] or that is no number, or does not sum to 1 (logits?).
        """
        rows = max(1, BLOCK // self.classes)
        for start in range(0, len(self), rows):
            part = slice(start, min(start + rows, len(self)))
            yield part, self._normal(self.values[part], start)
            self._release()

    def rows(self, indices: Indices) -> Numbers:
        """Some rows, float64, each divided by its sum; all must have been read by `blocks` before.

        Args:
            indices: int `[n]`.
        """
        if self._pages is None:
            return self._normal(self.values[indices], 0)
        found = np.empty((len(indices), self.classes), self.values.dtype)
        for start in range(0, len(indices), SCATTERED):
            part = slice(start, start + SCATTERED)
            found[part] = self.values[indices[part]]
            self._release()
        return self._normal(found, 0)

    @property
    def _pages(self) -> mmap.mmap | None:
        """The pages of a file that is mapped for reading alone; None where there are none that can be given back."""
        pages = getattr(self.values, "_mmap", None)
        kept = not hasattr(mmap, "MADV_DONTNEED") or self.values.flags.writeable
        return None if kept or not isinstance(pages, mmap.mmap) else pages

    def _release(self) -> None:
        """Give back the pages of a mapped file that were read; else all of it would stay in memory."""
        if self._pages is not None:
            self._pages.madvise(mmap.MADV_DONTNEED)

    def _normal(self, values: NDArray[Any], start: int) -> Numbers:
        block = np.array(values, np.float64)
        sums = block.sum(1)
        bad = ~((block.min(1) >= 0) & (block.max(1) <= 1 + SLACK) & (np.abs(sums - 1) <= SLACK))  # NaN is bad too
        if bad.any():
            row = int(bad.argmax())
            raise DataError(
                f"{self.source}: row {start + row} has {block[row].min():g} to {block[row].max():g} and sums to "
                f"{sums[row]:g}; needed are probabilities that sum to 1 (are these logits?)"
            )
        block /= sums[:, None]
        return block
