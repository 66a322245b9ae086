"""`task_rows`: rows of a model's outputs, by what the run's task makes of them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.context import Context
from unshaken.core.part import Condition, Part
from unshaken.core.task import Task
from unshaken.tasks.classification import CLASSIFICATION


def task_rows(context: Context, condition: Condition, batch: Batch, outputs: Tensor, **columns: Any) -> list[Part]:
    """One part of `outcomes`, and parts of the task's other tables; see `Task.rows`."""
    return (context.find(Task) or CLASSIFICATION).rows(condition, batch, outputs, **columns)
