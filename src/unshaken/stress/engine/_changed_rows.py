"""Rows of changed images: with labels and boxes that moved, or read from files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.boxes import join_boxes
from unshaken.core.part import Condition, Part
from unshaken.run.published import with_errors
from unshaken.run.rows import Context


def with_truth(batch: Batch, truths: Sequence[tuple[Tensor | None, Tensor | None]]) -> Batch:
    """The samples with the labels and boxes of their changed images, given piece by piece.

    Args:
        batch: the samples as they were.
        truths: of each piece labels and boxes, None where there are none.
    """
    labels, boxes = ([one[place] for one in truths if one[place] is not None] for place in (0, 1))
    return replace(
        batch,
        labels=torch.cat([x for x in labels if x is not None]) if labels else batch.labels,
        boxes=join_boxes([x for x in boxes if x is not None]) if boxes else batch.boxes,
    )


def rows_of_files(condition: Condition, changed: Batch | None, bad: Mapping[str, str], context: Context) -> list[Part]:
    """Rows of samples that were changed by others and read from files.

    Args:
        condition: where the rows belong.
        changed: the samples as the files show them; None where none can be read.
        bad: the reason by id for the others.
        context: of the shard.
    """
    if changed is None:
        return [with_errors(Part("outcomes", condition, {"id": []}), bad)]
    began = time.perf_counter()
    outputs = context.oracle.exact(changed.images)
    seconds = (time.perf_counter() - began) / len(changed)
    parts = context.rows(condition, changed, outputs, seconds=seconds, images=lambda rows: changed.images[rows])
    return [with_errors(part, bad) if part.table == "outcomes" else part for part in parts]
