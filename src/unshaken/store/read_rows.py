"""Rows from the bytes of one parquet file, held against what that file must be."""

from __future__ import annotations

import io
import re
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from unshaken.core.errors import RunError
from unshaken.store.mark import wrong_mark
from unshaken.store.tables import schema_of

_FILE = re.compile(r"([A-Za-z0-9._=+-]+)-([0-9]{5,9})\.parquet")


LARGEST_CLASS = 2**31 - 1


def parse_rows(
    data: bytes | BinaryIO, name: str, file: str, where: str, columns: list[str] | None = None, *, run: str = ""
) -> pa.Table:
    """The rows of a file.

    Args:
        data: the file's bytes, or the open file, of which only the wanted columns are read.
        name: of the table, such as `outcomes`.
        file: the file's name, `CONDITION-SHARD.parquet`.
        where: the run directory, for messages.
        columns: those that are wanted; None for all.
        run: identity of the run; empty where it is not known.

    Raises:
        RunError: the file is damaged: no parquet, a column is absent or of another type; or the rows are another
            file's or another run's.
    """

    def damaged(why: str) -> RunError:
        return RunError(f"{where}: rows/{name}/{file} is damaged ({why}); delete it and resume the run")

    source = io.BytesIO(data) if isinstance(data, bytes) else data
    named = _FILE.fullmatch(file)
    if named is None:
        raise damaged("its name is not CONDITION-SHARD.parquet")
    schema = schema_of(name)
    extra = ["condition", "id"] if name == "outcomes" else []
    wanted = None if columns is None else [*columns, *(c for c in extra if c not in columns)]
    try:
        table = pq.ParquetFile(source, page_checksum_verification=True).read(columns=wanted, use_threads=False)
        table.validate(full=True)  # else a damaged index is met where a value is looked at
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise damaged(str(error).partition("\n")[0]) from None
    if (why := wrong_mark(table.schema, run, f"{name}/{file}")) is not None:
        raise damaged(why)
    table = table.replace_schema_metadata(None)
    for column in wanted or (schema.names if schema is not None else ()):
        if column not in table.column_names:
            raise damaged(f"it has no column {column!r}")
        if (
            schema is not None
            and column in schema.names
            and table.schema.field(column).type != schema.field(column).type
        ):
            raise damaged(
                f"the column {column!r} is {table.schema.field(column).type}, not {schema.field(column).type}"
            )
    if name == "outcomes" and len(table):
        if pc.unique(table["condition"]).to_pylist() != [named[1]]:
            raise damaged("its rows are of another condition than its name says")
        if pc.count_distinct(table["id"], mode="all").as_py() < len(table):
            raise damaged("a sample stands in it twice")
        for column in {"label", "prediction"} & set(table.column_names):
            most = pc.max(table[column]).as_py()
            if most is not None and most > LARGEST_CLASS:
                raise damaged(f"the {column} {most} is no class")
    return table if columns is None else table.select(columns)
