"""Rows that were computed twice."""

from __future__ import annotations

import pyarrow as pa
import pytest

from unshaken.run.merge import differing_column

ROWS = {"id": ["a", "b"], "prediction": [1, 2], "loss": [0.5, float("nan")], "logits": [[1.0, 2.0], [3.0]],
        "note": [None, "x"], "seconds": [1.0, 2.0]}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({}, None),
        ({"seconds": [9.0, 9.0]}, None),
        ({"loss": [0.5 + 1e-6, float("nan")]}, None),
        ({"loss": [0.51, float("nan")]}, "loss"),
        ({"loss": [0.5, 0.5]}, "loss"),
        ({"loss": [0.5, None]}, "loss"),
        ({"prediction": [1, 1]}, "prediction"),
        ({"logits": [[1.0, 2.0], [3.5]]}, "logits"),
        ({"logits": [[1.0], [2.0, 3.0]]}, "logits"),
        ({"note": ["x", None]}, "note"),
        ({"id": ["b", "a"]}, "id"),
        ({"more": [1, 2]}, "rows"),
    ],
)
def test_the_column_that_differs_is_named(change, column):
    assert differing_column(pa.table(ROWS), pa.table({**ROWS, **change})) == column


def test_fewer_rows_differ():
    assert differing_column(pa.table(ROWS), pa.table(ROWS).slice(1)) == "rows"
