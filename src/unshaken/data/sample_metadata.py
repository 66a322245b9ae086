"""Columns about samples from a file beside the data, such as weather or camera, joined by the samples' ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from unshaken.core.errors import DataError
from unshaken.core.numbers import shorten
from unshaken.data.parquet_check import check_parquet
from unshaken.data.spec import existing, reason_of

LARGEST = 1 << 30
"""Bytes of a CSV or JSONL file."""
ENDINGS = (".csv", ".jsonl", ".parquet")


CLASS = "class"
"""The column of a table of classes that has their names; the slicing of samples by their class, too."""


def read_metadata(
    file: str | Path,
    ids: Sequence[str | None],
    *,
    key: str = "id",
    classes: Callable[[], Sequence[str | None]] | None = None,
) -> dict[str, list[Any]]:
    """The columns of a table of samples, in the order of their ids.

    Columns of bytes, lists and records are left out; times become texts. Rows of other samples may be there.

    Args:
        file: `.csv` with a line of titles, `.jsonl` with a record a line, or `.parquet`.
        ids: of the samples.
        key: the column that has them.
        classes: gives the samples' classes: a table without `key` and with a column `class` is one of classes, whose
            values each sample of a class has.

    Returns:
        Column name to values: strings, bools, numbers or None.

    Raises:
        DataError: the file cannot be read, has no column `key` or no other one, has an id twice, or lacks a sample.
    """
    path = existing(str(file), str(file), folder=False)
    where = f"metadata {str(file)!r}"
    if path.suffix.lower() not in ENDINGS:
        raise DataError(f"{where} must end in {', '.join(ENDINGS)}")
    try:
        table = _read(path, key)
        if key not in table.column_names and CLASS in table.column_names and classes is not None:
            key, ids = CLASS, classes()
        if key not in table.column_names:
            raise ValueError(f"it needs a column {key!r}; its columns: {', '.join(table.column_names) or 'none'}")
        keys = [None if name is None else str(name) for name in table[key].to_pylist()]
        found = plain_columns(table, {key})
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise DataError(f"{where} cannot be read: {reason_of(error)}") from error
    if not found:
        raise DataError(f"{where} has no column of words or numbers beside {key!r}")
    twice = [name for name, count in Counter(keys).items() if count > 1]
    if twice:
        raise DataError(f"{where} has {len(twice):,} ids more than once, such as {shorten(str(twice[0]))}")
    place = {name: row for row, name in enumerate(keys)}
    missing = [name for name in ids if name is not None and name not in place]
    if missing:
        raise DataError(
            f"{where} lacks {len(missing):,} of {len(ids):,} samples, such as {shorten(missing[0])}; its own ids are "
            f"like {shorten(str(keys[0])) if keys else 'none'}"
        )
    rows = [None if name is None else place[name] for name in ids]
    return {name: [None if row is None else values[row] for row in rows] for name, values in found.items()}


def read_columns(path: Path, but: Collection[str]) -> dict[str, list[Any]]:
    """The columns of words or numbers of a parquet file, by name, a value a row.

    Args:
        path: of the file.
        but: columns that are left out.

    Raises:
        DataError: the file cannot be read, or reading it is unsafe.
    """
    try:
        return plain_columns(_read_parquet(path, but), but)
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise DataError(f"the columns of {path.name} cannot be read: {reason_of(error)}") from error


def _read_parquet(path: Path, but: Collection[str] = ()) -> pa.Table:
    names = [field.name for field in pq.read_schema(path) if field.name not in but and not _is_nested(field.type)]
    check_parquet(path, names, str(path))
    table = pq.read_table(path, columns=names, memory_map=False)
    table.validate(full=True)
    return table


def _read(path: Path, key: str) -> pa.Table:
    ending = path.suffix.lower()
    if ending == ".parquet":
        return _read_parquet(path)
    if path.stat().st_size > LARGEST:
        raise ValueError("the file is too large: write it as parquet")
    if ending == ".csv":
        options = pyarrow.csv.ConvertOptions(column_types={key: pa.string()}, strings_can_be_null=True)
        return pyarrow.csv.read_csv(path, convert_options=options)
    return pyarrow.json.read_json(path)


def _is_nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def plain_columns(table: pa.Table, but: Collection[str] = ()) -> dict[str, list[Any]]:
    """The columns of words or numbers of a table, as Python's values.

    Args:
        table: whatever it holds; times become texts.
        but: columns that are left out.
    """
    found = {name: _plain(table[name]) for name in table.column_names if name not in but}
    return {name: values for name, values in found.items() if values is not None}


def _plain(column: pa.ChunkedArray) -> list[Any] | None:
    """A column's values as Python's; None where it is no column of words or numbers."""
    kind = column.type
    if _is_nested(kind) or pa.types.is_null(kind):
        return None
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        column = pc.cast(column, pa.string())
    values: list[Any] = column.to_pylist()
    return values
