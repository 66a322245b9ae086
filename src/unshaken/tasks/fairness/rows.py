"""Rows of fairness indicators: one an image, with its group and what a model says of it."""

from __future__ import annotations

from unshaken.core.tables import declare_table

TABLE = "group_outcomes"
GROUP_OUTCOMES = declare_table(
    "group_outcomes",
    "id string, condition string, group string, subject string, given string, correct bool, hit bool, "
    "top_labels string[], top_scores float[], neighbour_groups string[]",
)
"""See docs/runs.md for the columns."""
