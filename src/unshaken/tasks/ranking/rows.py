"""Rows of rankings: one a query, ranker and condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unshaken.core.part import Condition, Part
from unshaken.core.tables import declare_table

RANKINGS = declare_table(
    "rankings",
    "id string, condition string, ranker string, task string, change string, measure string, "
    "effectiveness double, judged double, tau double, overlap double, first_changed bool, document string, "
    "rank_before int64, rank_after int64, text string, calls int64, seconds double",
)
"""See docs/runs.md for the columns."""


def part_of(condition: str, ranker: str, task: str, change: str, ids: Sequence[str], **columns: Any) -> Part:
    """The rows of a ranker under one condition; columns that are not given are empty.

    Args:
        condition: its id.
        ranker: name of the ranker.
        task: one of the five.
        change: what was changed, and how much of it.
        ids: of the queries.
        columns: name to values, one a query, or one value for all.
    """
    count = len(ids)
    single = {"condition": condition, "ranker": ranker, "task": task, "change": change, **columns}
    filled: Mapping[str, Any] = {
        name: list(value) if isinstance(value := single.get(name), list | tuple) else [value] * count
        for name in RANKINGS
    }
    return Part("rankings", Condition(condition, ranker), {**filled, "id": list(ids)})
