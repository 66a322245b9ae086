"""`make_task`: the task of a model, by its name."""

from __future__ import annotations

from unshaken.core.classifier import View
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.task import Task
from unshaken.data import Dataset
from unshaken.tasks.classification import CLASSIFICATION
from unshaken.tasks.detection.task import Detection
from unshaken.tasks.segmentation.task import Segmentation

TASKS = (CLASSIFICATION.name, Detection.name, Segmentation.name)


def make_task(name: str, dataset: Dataset, view: View | None) -> Task:
    """The task that a model is for.

    Args:
        name: as the model's net says it.
        dataset: the samples, of the model's classes.
        view: how the model looks at photos.

    Raises:
        ParameterError: there is no such task.
    """
    if name == CLASSIFICATION.name:
        return CLASSIFICATION
    if name == Detection.name:
        return Detection(dataset, view)
    if name == Segmentation.name:
        return Segmentation()
    raise ParameterError(f"there is no task {name!r}; {did_you_mean(name, TASKS)}")
