"""The mark in every file of rows: which run it is of, and under which name it was written."""

from __future__ import annotations

import json

import pyarrow as pa

_KEY = b"unshaken"


def marked(table: pa.Table, run: str, place: str) -> pa.Table:
    """The rows with a mark in the metadata of their schema.

    Args:
        table: rows.
        run: identity of the run; empty where they are of none.
        place: table and file, such as `outcomes/clean-00000.parquet`.
    """
    return table.replace_schema_metadata({_KEY: json.dumps({"run": run, "place": place})})


def wrong_mark(schema: pa.Schema, run: str, place: str) -> str | None:
    """Why rows do not belong where they stand; None where they do, or carry no mark, as those of earlier versions.

    Args:
        schema: of the file.
        run: identity of the run; empty where it is not known.
        place: as in `marked`.
    """
    try:
        mark = json.loads((schema.metadata or {}).get(_KEY, b"{}"))
        own, there = str(mark.get("run", "")), str(mark.get("place", place))
    except (ValueError, AttributeError):
        return "its mark is damaged"
    if there != place:
        return f"it is a copy of rows/{there}"
    if run and own and own != run:
        return "its rows are of another run: another model, other data, or another plan"
    return None
