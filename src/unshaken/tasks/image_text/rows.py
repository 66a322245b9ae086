"""Rows of dilutions: one a sample, classifier and change."""

from __future__ import annotations

import pyarrow as pa

from unshaken.store.tables import declare_table

DILUTIONS = declare_table(
    "dilutions",
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("classifier", pa.string()),
        ("change", pa.string()),
        ("label", pa.int64()),
        ("text", pa.string()),
        ("added", pa.string()),
        ("changed_text", pa.string()),
        ("position", pa.string()),
        ("prediction", pa.int64()),
        ("p_label", pa.float64()),
        ("changed_prediction", pa.int64()),
        ("changed_p_label", pa.float64()),
        ("relevance_text", pa.float64()),
        ("relevance_image", pa.float64()),
        ("topic_divergence", pa.float64()),
        ("match", pa.float64()),
        ("words_added", pa.int64()),
        ("self_bleu", pa.float64()),
        ("truncated", pa.bool_()),
        ("queries", pa.int64()),
        ("kept", pa.bool_()),
        ("refused", pa.string()),
        ("image_changed", pa.bool_()),
        ("seconds", pa.float64()),
    ],
)
"""See docs/runs.md for the columns."""
