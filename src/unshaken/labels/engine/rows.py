"""The tables `labels`, one row per finder and sample, `label_parts`, and `label_changes`, what a review changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unshaken.core.part import Condition, Part
from unshaken.core.tables import declare_table
from unshaken.labels.engine.finder import LabelScores
from unshaken.measure.statistics.columns import Flags, Indices, Numbers

LABELS = declare_table(
    "labels",
    "id string, condition string, method string, given int64, suggested int64, score double, flagged bool, "
    "error string",
)

LABEL_PARTS = declare_table(
    "label_parts",
    "id string, condition string, method string, part int64, issue string, given int64, suggested int64, "
    "score double, flagged bool, pixels int64",
)
"""A class of a sample, a box of an image, or the pixels of an image that have one class and should have another."""

CHANGES = "label_changes"
LABEL_CHANGES = declare_table(
    "label_changes",
    "id string, condition string, method string, before int64, after int64, reason string, decided string, "
    "score double, right_before int64, right_after int64, confidence double",
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
