"""The table `labels`: one row per finder and sample."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from unshaken.labels.engine.finder import LabelScores
from unshaken.measure.statistics.columns import Indices
from unshaken.run.rows import Condition, Part, declare_table

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
