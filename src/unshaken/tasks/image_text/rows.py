"""Rows of dilutions: one a sample, classifier and change."""

from __future__ import annotations

from unshaken.core.tables import declare_table

DILUTIONS = declare_table(
    "dilutions",
    "id string, condition string, classifier string, change string, label int64, text string, added string, "
    "changed_text string, position string, prediction int64, p_label double, changed_prediction int64, "
    "changed_p_label double, relevance_text double, relevance_image double, topic_divergence double, "
    "match double, words_added int64, self_bleu double, truncated bool, queries int64, kept bool, refused string, "
    "image_changed bool, seconds double",
)
"""See docs/runs.md for the columns."""
