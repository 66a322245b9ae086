"""`Probabilities`: class probabilities of all samples, also from files, in blocks: memory does not grow with N."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unshaken.core.errors import DataError
from unshaken.data.parquet_check import check_parquet
from unshaken.measure.statistics.columns import Flags, Indices, Numbers

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

    def missing(self) -> Flags:
        """The rows that hold a value which is no number, bool `[N]`."""
        found, rows = np.empty(len(self), bool), max(1, BLOCK // self.classes)
        for start in range(0, len(self), rows):
            found[start : start + rows] = np.isnan(self.values[start : start + rows]).any(1)
            self._release()
        return found

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
        fixed = not hasattr(mmap, "MADV_DONTNEED") or self.values.flags.writeable
        return None if fixed or not isinstance(pages, mmap.mmap) else pages

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


TIE = 1e-6
"""The given label counts as predicted if no other class is more probable by this much."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Three numbers of each sample's probabilities, which most rankings use.

    Args:
        own: probability of the given label, `[N]`.
        other: the largest of the other classes, `[N]`.
        best: the class that is most probable, int `[N]`.
    """

    own: Numbers
    other: Numbers
    best: Indices

    @property
    def margin(self) -> Numbers:
        """Probability of the given label, less that of the best of the others: `[N]` in [-1, 1]."""
        return self.own - self.other


def summarize(probabilities: Probabilities, labels: Indices) -> Summary:
    """Summarize probabilities in one pass.

    Args:
        probabilities: `[N, K]`.
        labels: int `[N]` in 0..K-1.
    """
    n = len(labels)
    own, other, best = np.empty(n), np.empty(n), np.empty(n, np.int64)
    for part, p in probabilities.blocks():
        rows, given = np.arange(len(p)), labels[part]
        own[part], best[part] = p[rows, given], p.argmax(1)
        p[rows, given] = -1.0
        other[part] = p.max(1)
    return Summary(own, other, best)


PREFIX = "p_"


def read_probabilities(path: str | Path, ids: Sequence[str], rows: Indices, classes: Sequence[str]) -> Probabilities:
    """Probabilities of some samples of a data set.

    A `.npy` file `[N, K]` of floating-point numbers is mapped, not read; its rows are those of all samples of the data
    set, or of the examined ones alone, in their order. A Parquet file has the column `id` and one column `p_NAME` a
    class, or `p_0`, `p_1` and so on; rows of other samples are left aside.

    Args:
        path: of the file.
        ids: of all samples of the data set.
        rows: which of these are examined, int `[n]`, rising.
        classes: names of the classes, in label order.

    Raises:
        DataError: the file is absent, damaged or of another kind, lacks a sample or a class, or has a sample twice.
    """
    file = Path(path)
    if file.suffix == ".parquet":
        return _from_parquet(file, [ids[i] for i in rows], classes)
    if file.suffix != ".npy":
        raise DataError(f"{path}: probabilities are read from .npy or .parquet files")
    try:
        values = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if not isinstance(values, np.ndarray):
        raise DataError(f"{path}: is an .npz archive; save one array by numpy.save")
    return of_examined(Probabilities(values, str(path)), rows, len(ids))


def of_examined(given: Probabilities, rows: Indices, samples: int) -> Probabilities:
    """Probabilities of the examined samples, of which a row for each sample of the data set may be given.

    Args:
        given: in the order of the data.
        rows: which samples are examined, int `[n]`, rising.
        samples: their number in the data set.

    Raises:
        DataError: there is neither a row for each examined sample nor one for each sample.
    """
    if len(given) == len(rows):
        return given
    if len(given) != samples:
        examined = "" if len(rows) == samples else f", of which {len(rows)} are examined"
        raise DataError(f"{given.source}: {len(given)} rows, and the data has {samples} samples{examined}")
    return Probabilities(given.values[rows], given.source)


def _from_parquet(file: Path, ids: Sequence[str], classes: Sequence[str]) -> Probabilities:
    try:
        check_parquet(file, (), str(file))
        table = pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file}: cannot be read ({error})") from None
    by_name = [PREFIX + name for name in classes]
    by_number = [f"{PREFIX}{i}" for i in range(len(classes))]
    columns = next((names for names in (by_name, by_number) if set(names) <= set(table.column_names)), None)
    if columns is None or "id" not in table.column_names:
        lacking = [n for n in ["id", *by_name] if n not in table.column_names]
        raise DataError(f"{file}: lacks the column {lacking[0]!r}; needed are 'id' and one 'p_CLASS' a class")
    names = [str(name) for name in table["id"].to_pylist()]
    place = {name: i for i, name in enumerate(names)}
    if len(place) < len(names):
        twice = next(name for i, name in enumerate(names) if place[name] != i)
        raise DataError(f"{file}: has more than one row of the sample {twice!r}; keep one")
    absent = [name for name in ids if name not in place]
    if absent:
        raise DataError(f"{file}: has no row for {len(absent)} of {len(ids)} samples, such as {absent[0]!r}")
    rows = np.array([place[name] for name in ids])
    values = np.stack([table[name].to_numpy() for name in columns], 1)[rows]
    return Probabilities(values, str(file))
