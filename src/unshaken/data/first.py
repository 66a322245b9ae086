"""`first_batch`: the first readable samples, to look at a model with before a run."""

from __future__ import annotations

from itertools import islice

from unshaken.core.batch import Batch
from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.data.dataset import Dataset
from unshaken.data.stream import stream

TRIED = 64
"""Samples that are tried at most, without those known to be bad."""


def first_batch(dataset: Dataset, *, view: View | None, size: int = 2) -> Batch:
    """The first samples of a data set that can be read.

    Args:
        dataset: where they come from.
        view: how the model looks at photos.
        size: number of samples; fewer where there are no more.

    Raises:
        DataError: none can be read, with the reason of the first.
    """
    promising = list(islice((i for i in range(len(dataset)) if i not in dataset.bad), TRIED))
    reason = f"{dataset.ids[0]}: {dataset.bad[0]}" if 0 in dataset.bad else ""
    for item in stream(dataset, promising, view=view, workers=1, batch_size=size):
        if isinstance(item, Batch):
            return item
        reason = reason or str(item)
    tried = len(promising) or len(dataset)
    raise DataError(f"none of the samples of {dataset.options.spec!r} can be read ({tried} tried); {reason}")
