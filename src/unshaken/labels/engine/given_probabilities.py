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

PREFIX = "p_"


def read_probabilities(path: str | Path, ids: Sequence[str], classes: Sequence[str]) -> Probabilities:
    """Probabilities of some samples.

    A `.npy` file `[N, K]` of floating-point numbers is mapped, not read; its rows are in the order of the ids. A
    Parquet file has the column `id` and one column `p_NAME` a class, or `p_0`, `p_1` and so on; rows of other samples
    are left aside.

    Args:
        path: of the file.
        ids: of the samples.
        classes: names of the classes, in label order.

    Raises:
        DataError: the file is absent, damaged or of another kind, or lacks a sample or a class.
    """
    file = Path(path)
    if file.suffix == ".parquet":
        return _from_parquet(file, ids, classes)
    if file.suffix != ".npy":
        raise DataError(f"{path}: probabilities are read from .npy or .parquet files")
    try:
        values = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    found = Probabilities(values, str(path))
    if len(found) != len(ids):
        raise DataError(f"{path}: {len(found)} rows, and the data has {len(ids)} samples (or a subset is taken)")
    return found


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
    place = {str(name): i for i, name in enumerate(table["id"].to_pylist())}
    absent = [name for name in ids if name not in place]
    if absent:
        raise DataError(f"{file}: has no row for {len(absent)} of {len(ids)} samples, such as {absent[0]!r}")
    rows = np.array([place[name] for name in ids])
    values = np.stack([table[name].to_numpy() for name in columns], 1)[rows]
    return Probabilities(values, str(file))
