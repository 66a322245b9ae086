"""`Segmentation`: the task of a model that gives a class for each pixel. Its rows hold counts of pixels by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.classifier import NO_CLASS, predict
from unshaken.core.device import widen
from unshaken.core.flag import Flag, FlagKind
from unshaken.core.masks import IGNORED
from unshaken.core.oracle import Oracle, required
from unshaken.core.outcomes import cost_columns
from unshaken.core.part import Condition, Part
from unshaken.core.tables import declare_table
from unshaken.data import Dataset
from unshaken.measure.segmentation import band_width, image_counts, mean_iou
from unshaken.measure.statistics.columns import Numbers
from unshaken.models.align import Alignment, ModelClasses, align_masks
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

ONE_CLASS = FlagKind(
    "one-class-of-pixels",
    "the model gives every pixel one class, and the masks have several",
    "Compare the SPEC's size, mean and std with those that the model was trained with.",
)
OTHER_PIXEL_CLASSES = FlagKind(
    "other-classes-of-pixels",
    "hardly a pixel has its label, and one class of the model stands for most pixels of a class of the masks",
    "Name the model's classes in the order of its logits (option classes): some nets count a background first.",
)
NO_PIXEL_CLASS = FlagKind(
    "pixels-without-class",
    "the model's output is not finite at some pixels",
    "Such pixels count as wrong; look for overflow or a division by zero in the net.",
)


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
        labels, predicted = required(batch.labels), predict(outputs.movedim(1, -1))
        known = labels != IGNORED
        answers, wanted = predicted[known], labels[known]
        flags = []
        if bool((answers == NO_CLASS).any()):
            share = float(widen(answers == NO_CLASS).mean())
            flags.append(NO_PIXEL_CLASS.flag(f"{share:.1%} of the labelled pixels of the first {len(batch)} images"))
        if len(torch.unique(wanted)) < 2:
            return flags
        if len(torch.unique(answers)) == 1:
            flags.append(ONE_CLASS.flag(f"class {int(answers[0])} at every pixel of the first {len(batch)} images"))
            return flags
        right = float(widen(answers == wanted).mean())
        largest = wanted.bincount().argmax()
        own = answers[(wanted == largest) & (answers >= 0)]
        most = int(own.bincount().argmax()) if len(own) else NO_CLASS
        if right < 0.1 and most not in (int(largest), NO_CLASS):
            text = f"{right:.1%} of the pixels are right; most pixels of class {int(largest)} are given class {most}"
            flags.append(OTHER_PIXEL_CLASSES.flag(text))
        return flags


def _lists(names: Sequence[str], counts: Numbers) -> dict[str, list[Any]]:
    return {name: list(counts[:, i].astype(np.int64)) for i, name in enumerate(names)}
