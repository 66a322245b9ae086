"""`Segmentation`: the task of a model that gives a class for each pixel. Its rows hold counts of pixels by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.classifier import predict
from unshaken.core.flag import Flag
from unshaken.core.masks import IGNORED
from unshaken.core.oracle import Oracle, required
from unshaken.core.outcomes import cost_columns
from unshaken.core.part import Condition, Part
from unshaken.core.tables import declare_table
from unshaken.data import Dataset
from unshaken.measure.segmentation import band_width, image_counts, mean_iou
from unshaken.measure.statistics.columns import Numbers
from unshaken.models.align import Alignment, ModelClasses, align_masks
from unshaken.tasks.segmentation.flags import check_masks
from unshaken.tasks.segmentation.small_masks import pack_mask
from unshaken.tasks.task import Task, task

COUNTS = ("intersection", "predicted", "labelled")
BOUNDARY = tuple(f"boundary_{name}" for name in COUNTS)
"""The same counts within a band along the boundary of each mask."""
OVERLAPS = declare_table(
    "overlaps",
    "id string, condition string, intersection int64[], predicted int64[], labelled int64[], "
    "boundary_intersection int64[], boundary_predicted int64[], boundary_labelled int64[]",
)
"""Numbers of pixels in each image, one for each class."""
MASKS = declare_table("masks", "id string, condition string, predicted binary, labelled binary")
"""Small pictures of each image's masks, for people; see `small_masks`."""


@task("segmentation")
class Segmentation(Task):
    """A class for each pixel, from logits `[N, K, H, W]`, beside masks `[N, H, W]`."""

    @override
    @classmethod
    def align(cls, dataset: Dataset, model: ModelClasses, *, needed: bool) -> Alignment:
        return Alignment(*align_masks(dataset, model))

    @override
    def rows(self, condition: Condition, batch: Batch, outputs: Tensor, /, **columns: Any) -> list[Part]:
        """Counts of pixels by class, and outcomes.

        In `outcomes` the `loss` is 1 less the mean intersection over union of the image's classes; `prediction` is the
        number of pixels that are right, `confidence` the mean probability of the pixels' likeliest classes.
        """
        images, flags = columns.pop("images", None), tuple(columns.pop("flags", ()))
        distance: Tensor | None = columns.pop("distance", None)
        logits = outputs.detach().float().cpu()
        predicted, labels = predict(logits.movedim(1, -1)).numpy(), required(batch.labels).cpu().numpy()
        classes, width = logits.shape[1], band_width(*labels.shape[1:])
        counts = image_counts(predicted, labels, classes, ignored=IGNORED)
        near = image_counts(predicted, labels, classes, width=width, ignored=IGNORED)
        shared = {
            "id": list(batch.ids),
            "prediction": counts[:, 0].sum(1).astype(np.int64),
            "confidence": logits.softmax(1).amax(1).mean((1, 2)).numpy(),
            "loss": 1 - np.nan_to_num(mean_iou(counts), nan=1.0),
            **({} if distance is None else {"distance": distance.cpu().double().numpy()}),
            **cost_columns(len(batch), **columns),
        }
        named = {**_lists(COUNTS, counts), **_lists(BOUNDARY, near)}
        small = {"predicted": [*map(pack_mask, predicted)], "labelled": [*map(pack_mask, labels)]}
        return [
            Part("outcomes", condition, shared, images, flags),
            Part("masks", condition, {"id": list(batch.ids), **small}),
            Part("overlaps", condition, {"id": list(batch.ids), **named}),
        ]

    @override
    def flags(self, oracle: Oracle, batch: Batch, outputs: Tensor) -> list[Flag]:
        return check_masks(batch, outputs)


def _lists(names: Sequence[str], counts: Numbers) -> dict[str, list[Any]]:
    return {name: list(counts[:, i].astype(np.int64)) for i, name in enumerate(names)}
