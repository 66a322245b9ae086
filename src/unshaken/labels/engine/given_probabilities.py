"""Probabilities from a file: `.npy` in the order of the data, or `.parquet` by sample id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from unshaken.core.errors import DataError
from unshaken.data.parquet_check import check_parquet
from unshaken.labels.engine.probabilities import Probabilities
from unshaken.measure.statistics.columns import Indices

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
