"""The tables `labels`, one row per finder and sample, `label_parts`, and `label_changes`, what a review changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from unshaken.core.part import Condition, Part
from unshaken.labels.engine.finder import LabelScores
from unshaken.measure.statistics.columns import Flags, Indices, Numbers
from unshaken.store.tables import declare_table

LABELS = declare_table(
    "labels",
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("method", pa.string()),
        ("given", pa.int64()),
        ("suggested", pa.int64()),
        ("score", pa.float64()),
        ("flagged", pa.bool_()),
        ("error", pa.string()),
    ],
)

LABEL_PARTS = declare_table(
    "label_parts",
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("method", pa.string()),
        ("part", pa.int64()),
        ("issue", pa.string()),
        ("given", pa.int64()),
        ("suggested", pa.int64()),
        ("score", pa.float64()),
        ("flagged", pa.bool_()),
        ("pixels", pa.int64()),
    ],
)
"""A class of a sample, a box of an image, or the pixels of an image that have one class and should have another."""

CHANGES = "label_changes"
LABEL_CHANGES = declare_table(
    CHANGES,
    [
        ("id", pa.string()),
        ("condition", pa.string()),
        ("method", pa.string()),
        ("before", pa.int64()),
        ("after", pa.int64()),
        ("reason", pa.string()),
        ("decided", pa.string()),
        ("score", pa.float64()),
        ("right_before", pa.int64()),
        ("right_after", pa.int64()),
        ("confidence", pa.float64()),
    ],
)
"""A sample whose label a review changed: both labels, why, and how many models predict the one and the other."""


def label_rows(condition: Condition, ids: Sequence[str], given: Indices, found: LabelScores) -> Part:
    """The rows of one finder.

    Args:
        condition: where they belong.
        ids: of the samples.
        given: their labels.
        found: what the finder says.
    """
    flagged = [None] * len(ids) if found.flagged is None else found.flagged
    columns = {"id": list(ids), "given": given, "suggested": found.suggested, "score": found.score, "flagged": flagged}
    return Part("labels", condition, columns)


def kind_rows(condition: Condition, ids: Sequence[str], score: Numbers, flagged: Flags) -> Part:
    """The rows of samples whose labels are not one class an image: score and flag of the whole sample.

    Args:
        condition: where they belong.
        ids: of the samples.
        score: `[N]`.
        flagged: bool `[N]`.
    """
    return Part("labels", condition, {"id": list(ids), "score": score, "flagged": flagged})


def part_rows(condition: Condition, columns: Mapping[str, Sequence[Any]]) -> Part:
    """The rows of parts of samples.

    Args:
        condition: where they belong.
        columns: of `label_parts`, by name; those left out are null.
    """
    return Part("label_parts", condition, dict(columns))
