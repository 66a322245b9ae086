"""Labels of a data set, in the order of a model's classes."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from unshaken.data import Dataset


def aligned(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """The same data with labels renumbered as the model numbers its classes, where the names allow it.

    A folder with a few of a model's classes gets the model's numbers. When some class of the data has no such name,
    or a name occurs twice in the model, labels stay as they are.

    Args:
        dataset: labels number its own `classes`.
        classes: the model's, in logit order.
    """
    names = [c.casefold() for c in classes]
    wanted = [c.casefold() for c in dataset.classes]
    if dataset.labels is None or not wanted or wanted == names[: len(wanted)]:
        return dataset
    if len(set(names)) < len(names) or not set(wanted) <= set(names):
        return dataset
    numbers = np.array([names.index(c) for c in wanted], np.int64)
    other = copy.copy(dataset)
    other.labels = np.where(dataset.labels >= 0, numbers[np.maximum(dataset.labels, 0)], dataset.labels)
    other.classes = tuple(classes)
    return other
