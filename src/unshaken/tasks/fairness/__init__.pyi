"""Fairness indicators of any model over a user's groups of images."""

from unshaken.measure.fairness import age_bucket as age_bucket
from unshaken.measure.fairness import income_bucket as income_bucket
from unshaken.tasks.fairness.evaluate import evaluate as evaluate
from unshaken.tasks.fairness.figures import FairnessReport as FairnessReport
from unshaken.tasks.fairness.figures import read_report as read_report
from unshaken.tasks.fairness.group_file import GroupFile as GroupFile
from unshaken.tasks.fairness.group_file import read_groups as read_groups
