"""Columns about samples from a file beside the data, such as weather or camera, joined by the samples' ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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


def read_metadata(file: str | Path, ids: Sequence[str]) -> dict[str, list[Any]]:
    """The columns of a table of samples, in the order of their ids.

    Columns of bytes, lists and records are left out; times become texts. Rows of other samples may be there.

    Args:
        file: `.csv` with a line of titles, `.jsonl` with a record a line, or `.parquet`; a column is called `id`.
        ids: of the samples.

    Returns:
        Column name to values: strings, bools, numbers or None.

    Raises:
        DataError: the file cannot be read, has no column `id` or no other one, has an id twice, or lacks a sample.
    """
    path = existing(str(file), str(file), folder=False)
    where = f"metadata {str(file)!r}"
    if path.suffix.lower() not in ENDINGS:
        raise DataError(f"{where} must end in {', '.join(ENDINGS)}")
    try:
        table = _read(path)
        if "id" not in table.column_names:
            raise ValueError(f"it needs a column 'id'; its columns: {', '.join(table.column_names) or 'none'}")
        keys = [None if key is None else str(key) for key in table["id"].to_pylist()]
        columns = {name: _plain(table[name]) for name in table.column_names if name != "id"}
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise DataError(f"{where} cannot be read: {reason_of(error)}") from error
    found = {name: values for name, values in columns.items() if values is not None}
    if not found:
        raise DataError(f"{where} has no column of words or numbers beside 'id'")
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise DataError(f"{where} has {len(twice):,} ids more than once, such as {shorten(str(twice[0]))}")
    place = {key: row for row, key in enumerate(keys)}
    missing = [key for key in ids if key not in place]
    if missing:
        raise DataError(
            f"{where} lacks {len(missing):,} of {len(ids):,} samples, such as {shorten(missing[0])}; its own ids are "
            f"like {shorten(str(keys[0])) if keys else 'none'}"
        )
    rows = [place[key] for key in ids]
    return {name: [values[row] for row in rows] for name, values in found.items()}


def _read(path: Path) -> pa.Table:
    ending = path.suffix.lower()
    if ending == ".parquet":
        schema = pq.read_schema(path)
        names = [field.name for field in schema if not _is_nested(field.type)]
        check_parquet(path, names, str(path))
        table = pq.read_table(path, columns=names, memory_map=False)
        table.validate(full=True)
        return table
    if path.stat().st_size > LARGEST:
        raise ValueError("the file is too large: write it as parquet")
    if ending == ".csv":
        options = pyarrow.csv.ConvertOptions(column_types={"id": pa.string()}, strings_can_be_null=True)
        return pyarrow.csv.read_csv(path, convert_options=options)
    return pyarrow.json.read_json(path)


def _is_nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _plain(column: pa.ChunkedArray) -> list[Any] | None:
    """A column's values as Python's; None where it is no column of words or numbers."""
    kind = column.type
    if _is_nested(kind) or pa.types.is_null(kind):
        return None
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        column = pc.cast(column, pa.string())
    values: list[Any] = column.to_pylist()
    return values
