"""Fairness indicators of any model over a user's groups of images."""

from unshaken.measure.fairness import age_bucket, income_bucket
from unshaken.tasks.fairness.evaluate import evaluate
from unshaken.tasks.fairness.figures import FairnessReport, read_report
from unshaken.tasks.fairness.group_file import GroupFile, read_groups

__all__ = ["FairnessReport", "GroupFile", "age_bucket", "evaluate", "income_bucket", "read_groups", "read_report"]
