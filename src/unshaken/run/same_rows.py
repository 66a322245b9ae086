"""Whether rows that were computed twice, such as on two machines, are the same."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

CLOCK = frozenset({"seconds", "model_seconds", "method_seconds", "wall_seconds"})
"""Columns of times, which differ from one computation to the next."""
TOLERANCE = 1e-4
"""Absolute and relative difference of floats that rounding on another processor may make."""


def differing_column(first: pa.Table, second: pa.Table) -> str | None:
    """The first column in which two tables of rows differ; None where they are the same.

    Times are left out; floats may differ by `TOLERANCE`, and NaN equals NaN. `rows` is the answer for tables of other
    lengths or other columns.

    Args:
        first: rows of one condition and shard.
        second: rows of the same.
    """
    names = [name for name in first.column_names if name not in CLOCK]
    if len(first) != len(second) or names != [name for name in second.column_names if name not in CLOCK]:
        return "rows"
    return next((name for name in names if not _same(first[name], second[name])), None)


def _same(first: pa.ChunkedArray, second: pa.ChunkedArray) -> bool:
    a, b = first.combine_chunks(), second.combine_chunks()
    if a.type != b.type or not a.is_null().equals(b.is_null()):
        return False
    while pa.types.is_list(a.type):
        if not pc.list_value_length(a).equals(pc.list_value_length(b)):
            return False
        a, b = a.flatten(), b.flatten()
    if not pa.types.is_floating(a.type):
        return bool(a.equals(b))
    x, y = (v.drop_null().to_numpy(zero_copy_only=False) for v in (a, b))
    return x.shape == y.shape and bool(np.allclose(x, y, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True))
