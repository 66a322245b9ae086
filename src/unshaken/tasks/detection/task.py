"""`Detection`: the task of a detector of objects. Its rows hold every detection, so that figures come from rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from unshaken.core.batch import Batch
from unshaken.core.classifier import View
from unshaken.core.flag import Flag
from unshaken.core.oracle import Oracle, required
from unshaken.core.outcomes import cost_columns
from unshaken.core.part import CLEAN, Condition, Part
from unshaken.core.tables import declare_table
from unshaken.data import Dataset
from unshaken.data.box_table import photo_size, seen_as
from unshaken.data.decode import place_photo
from unshaken.measure.object_detection.errors import FALSE_KINDS, find_errors
from unshaken.measure.object_detection.matching import Detections, Objects, box_iou, match
from unshaken.models.align import Alignment, ModelClasses, align_boxes
from unshaken.tasks.detection.flags import check_detections
from unshaken.tasks.task import Task, task

DETECTIONS = declare_table("detections", "id string, condition string, boxes float[], classes int32[], scores float[]")
"""What was found in each image: four numbers a box, (left, top, right, bottom) in pixels of the photo."""
ERRORS = declare_table("object_errors", "id string, condition string, kinds string[], missed int32")
"""The kind of error of each detection, in their order, empty where it is right or does not count; and the number of
objects that are missed."""
OBJECTS = declare_table(
    "objects",
    "id string, condition string, boxes float[], classes int32[], crowd bool[], areas float[], view float[]",
)
"""What there is in each image: of the unchanged ones, and of those in which objects have moved.

`view` has four numbers: factors by which a pixel of the view is larger than one of the photo, across and down, and the
photo's place of the view's left upper corner.
"""
SURE = 0.5
"""Score from which a detection counts as made, in the figures of single images."""
Array = NDArray[np.float64]


@task("detection")
class Detection(Task):
    """Boxes of objects; see `unshaken.core.boxes` for the form of outputs.

    Args:
        dataset: with boxes of the objects, whose classes are those of the model.
        view: how the model looks at photos; None for as they are.
    """

    gives_logits = False

    @override
    @classmethod
    def of(cls, dataset: Dataset, view: View | None) -> Detection:
        return cls(dataset, view)

    @override
    @classmethod
    def align(cls, dataset: Dataset, model: ModelClasses, *, needed: bool) -> Alignment:
        return Alignment(*align_boxes(dataset, model))

    def __init__(self, dataset: Dataset, view: View | None) -> None:
        self.dataset, self.view = dataset, seen_as(dataset, view)
        self._places = {name: i for i, name in enumerate(dataset.ids)}

    @override
    def rows(self, condition: Condition, batch: Batch, outputs: Tensor, /, **columns: Any) -> list[Part]:
        """Detections in pixels of the photos, objects where they are not those of the unchanged images, and outcomes.

        In `outcomes` the `loss` is 1 less the F1 score of an image's detections of score 0.5 and more at an overlap of
        0.5; `prediction` is their number, `confidence` the highest score.
        """
        images, flags = columns.pop("images", None), tuple(columns.pop("flags", ()))
        distance: Tensor | None = columns.pop("distance", None)
        found, objects = rows_of(outputs), rows_of(required(batch.boxes))
        sure = [one[one[:, 5] >= SURE] for one in found]
        shared = {
            "id": list(batch.ids),
            "prediction": [len(one) for one in sure],
            "confidence": [float(one[:, 5].max(initial=0)) for one in found],
            "loss": [1 - f1(one, truth) for one, truth in zip(sure, objects, strict=True)],
            **({} if distance is None else {"distance": distance.cpu().double().numpy()}),
            **cost_columns(len(batch), **columns),
        }
        boxes = self._columns(batch, found) | {"scores": [one[:, 5] for one in found]}
        errors = {"id": list(batch.ids), **_errors(found, objects)}
        parts = [
            Part("outcomes", condition, shared, images, flags),
            Part("object_errors", condition, errors),
            Part("detections", condition, boxes),
        ]
        if condition.id == CLEAN.id or self._moved(batch, objects):
            more = {"crowd": [one[:, 5] > 0 for one in objects], "areas": [one[:, 6] for one in objects]}
            more["view"] = self._view(batch)
            parts.append(Part("objects", condition, self._columns(batch, objects) | more))
        return parts

    @override
    def flags(self, oracle: Oracle, batch: Batch, outputs: Tensor) -> list[Flag]:
        return check_detections(oracle, batch, outputs)

    def _columns(self, batch: Batch, rows: Sequence[Array]) -> dict[str, Any]:
        """Boxes in pixels of the photos, and their classes, one list an image."""
        boxes = []
        for name, one in zip(batch.ids, rows, strict=True):
            factor, corner = self._scale(self._places[name])
            own = one[:, :4] * factor + corner
            if self.view is not None and self.view.fit == "letterbox":  # nothing of the photo is in the padding
                own = np.clip(own, 0, np.tile(photo_size(self.dataset, self._places[name]), 2))
            boxes.append(own.ravel())
        return {"id": list(batch.ids), "boxes": boxes, "classes": [one[:, 4].astype(np.int32) for one in rows]}

    def _view(self, batch: Batch) -> list[Array]:
        return [np.concatenate([part[:2] for part in self._scale(self._places[name])]) for name in batch.ids]

    @lru_cache(maxsize=100_000)  # noqa: B019  # lives as long as the run
    def _scale(self, index: int) -> tuple[Array, Array]:
        """Factor and offset, of (x, y, x, y), from pixels of the view to those of a sample's photo."""
        if self.view is None:
            return np.ones(4), np.zeros(4)
        width, height = photo_size(self.dataset, index)
        place = place_photo(width, height, self.view)
        factor = np.array([width / place.width, height / place.height] * 2)
        return factor, factor * [place.left, place.top, place.left, place.top]

    def _moved(self, batch: Batch, objects: Sequence[Array]) -> bool:
        """Whether objects are not where the data says."""
        table = self.dataset.boxes
        if table is None:
            return True
        there = table.objects(self.dataset, [self._places[name] for name in batch.ids], self.view)
        return not all(map(np.array_equal, rows_of(there), objects))


def rows_of(boxes: Tensor) -> list[Array]:
    """The rows of each image that are not empty and whose numbers are finite, float64."""
    rows = boxes.detach().cpu().double().numpy()
    return [one[(one[:, 4] >= 0) & np.isfinite(one).all(1)] for one in rows]


def _errors(found: Sequence[Array], objects: Sequence[Array]) -> dict[str, Any]:
    """The kind of error of each detection and the number of missed objects, image by image."""
    kinds, missed = [], []
    for one, truth in zip(found, objects, strict=True):
        labels, known = one[:, 4].astype(np.int64), truth[:, 4].astype(np.int64)
        classes = 1 + int(max(labels.max(initial=0), known.max(initial=0)))
        there = Objects(truth[:, :4], known, truth[:, 5] > 0, truth[:, 6])
        errors = find_errors([Detections(one[:, :4], labels, one[:, 5])], [there], classes, most=max(1, len(one)))
        names = np.full(len(one), "", object)
        order = np.argsort(-one[:, 5], kind="stable")  # that of the errors
        names[order] = [FALSE_KINDS[kind] if kind >= 0 else "" for kind in errors.kind]
        kinds.append(names.tolist())
        missed.append(int(errors.missed.sum()))
    return {"kinds": kinds, "missed": missed}


def f1(found: Array, objects: Array) -> float:
    """The F1 score of one image's detections, each class for itself, at an overlap of 0.5; 1 where there is nothing.

    Args:
        found: rows of detections `[d, 6]`.
        objects: rows of objects `[g, 7]`; what is matched with a crowd counts for nothing.
    """
    hits = mistakes = 0
    for label in np.unique(found[:, 4]):
        own, truth = found[found[:, 4] == label], objects[objects[:, 4] == label]
        crowd = truth[:, 5] > 0
        order = np.argsort(-own[:, 5], kind="stable")
        taken = match(box_iou(own[order, :4], truth[:, :4], crowd), crowd, crowd[None], np.array([0.5]))[0, 0]
        skipped = (taken >= 0) & crowd[taken] if len(crowd) else np.zeros(len(taken), bool)
        hits += int(((taken >= 0) & ~skipped).sum())
        mistakes += int((taken < 0).sum())
    missed = int((objects[:, 5] == 0).sum()) - hits
    return 1.0 if hits + mistakes + missed == 0 else 2 * hits / (2 * hits + mistakes + missed)
