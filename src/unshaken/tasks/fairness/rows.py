"""Rows of fairness indicators: one an image, with its group and what a model says of it."""

from __future__ import annotations

import pyarrow as pa

from unshaken.store.tables import declare_table

TABLE = "group_outcomes"
GROUP_OUTCOMES = declare_table(
    TABLE,
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("group", pa.string()),
        ("subject", pa.string()),
        ("given", pa.string()),
        ("correct", pa.bool_()),
        ("hit", pa.bool_()),
        ("top_labels", pa.list_(pa.string())),
        ("top_scores", pa.list_(pa.float32())),
        ("neighbour_groups", pa.list_(pa.string())),
    ],
)
"""See docs/runs.md for the columns."""
