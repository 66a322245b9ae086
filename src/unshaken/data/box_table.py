"""`BoxTable`: boxes of the objects in photos, and where they are in what a model sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.boxes import OBJECT, stack_boxes
from unshaken.core.classifier import View
from unshaken.core.errors import DataError
from unshaken.data.decode import BadImage, Source, form_of, place_photo
from unshaken.data.spec import Options


class Photos(Protocol):
    """Data whose photos have boxes, such as a `Dataset`."""

    options: Options
    classes: tuple[str, ...]
    photo_sizes: dict[int, tuple[int, int]]

    @property
    def ids(self) -> Sequence[str]:
        """The ids of the samples."""

    def fetch(self, index: int) -> Source:
        """Fetch a photo as bytes, a path or an array."""


@dataclass(frozen=True, slots=True, eq=False)
class BoxTable:
    """Boxes of objects in photos, in the form of YOLO: centre and size, divided by the photo's width and height.

    Args:
        ids: sample of each box.
        boxes: float64 `[n, 4]` as (x, y, w, h).
        classes: int64 `[n]`; None where the file has none.
        crowd: bool `[n]`: regions of many objects; None for none.
        areas: float64 `[n]`: of the objects in pixels of the photo; None for those of the boxes.
    """

    ids: Sequence[str]
    boxes: NDArray[np.float64]
    classes: NDArray[np.int64] | None = None
    crowd: NDArray[np.bool_] | None = None
    areas: NDArray[np.float64] | None = None
    rows: dict[str, list[int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(self.ids):
            rows.setdefault(name, []).append(row)
        object.__setattr__(self, "rows", rows)

    def in_view(
        self, dataset: Photos, indices: Sequence[int], view: View | None, *, labels: Sequence[int] | None = None
    ) -> list[Tensor]:
        """The boxes of samples, in pixels of what the model sees: resized and cut as the photos are.

        Args:
            dataset: whose photos the boxes are in.
            indices: which of its samples.
            view: how the model looks at photos; None for as they are.
            labels: keep the boxes of the sample's class only, where classes are those of the model.

        Returns:
            For each sample float32 `[n, 4]` as (left, top, right, bottom), the right and lower end excluded; what the
            view cuts off is gone, and so are boxes of which nothing is left.

        Raises:
            DataError: no id of the table is a sample of the data, or labels were given and the boxes have no class.
        """
        self.check(dataset)
        if labels is not None and self.classes is None:
            raise DataError("the table of boxes has no column class, so that boxes of one class cannot be chosen")
        found = []
        for i, index in enumerate(indices):
            own = self.rows.get(dataset.ids[index], [])
            if labels is not None and self.classes is not None:
                own = [row for row in own if self.classes[row] == labels[i]]
            corners, kept = _placed(self.boxes[own], *photo_size(dataset, index), seen_as(dataset, view))
            found.append(torch.from_numpy(corners[kept].astype(np.float32)))
        return found

    def objects(self, dataset: Photos, indices: Sequence[int], view: View | None) -> Tensor:
        """The objects of samples as `Batch` holds them, float32 `[N, M, 7]`, in pixels of what the model sees.

        Args:
            dataset: whose photos the boxes are in.
            indices: which of its samples.
            view: how the model looks at photos; None for as they are.
        """
        found = []
        for index in indices:
            own = self.rows.get(dataset.ids[index], [])
            width, height = photo_size(dataset, index)
            corners, kept = _placed(self.boxes[own], width, height, seen_as(dataset, view))
            areas = self.boxes[own, 2] * width * self.boxes[own, 3] * height if self.areas is None else self.areas[own]
            crowd = np.zeros(len(own)) if self.crowd is None else self.crowd[own]
            classes = np.zeros(len(own)) if self.classes is None else self.classes[own]
            rows = np.concatenate([corners, np.stack([classes, crowd, areas], 1)], 1)[kept]
            found.append(torch.from_numpy(rows.astype(np.float32)))
        return stack_boxes(found, OBJECT)

    def columns(self, ids: Sequence[str]) -> dict[str, list[Any]]:
        """The number of objects in each photo and the share that the largest box covers, regions of many left out.

        Args:
            ids: of samples.
        """
        areas = self.boxes[:, 2:].prod(1) if self.crowd is None else np.where(self.crowd, -1, self.boxes[:, 2:].prod(1))
        own = [areas[self.rows.get(name, [])] for name in ids]
        found = [one[one >= 0] for one in own]
        return {
            "objects": list(map(len, found)),
            "object_area": [float(one.max()) if len(one) else None for one in found],
        }

    def check(self, dataset: Photos) -> None:
        """Refuse a table of other data.

        Raises:
            DataError: no id of the table is a sample of the data, or a class has no name in the data.
        """
        if not self.rows.keys() & set(dataset.ids):
            raise DataError(
                f"none of the boxes' ids, such as {self.ids[0]!r}, is a sample of {dataset.options.spec!r}, whose ids "
                f"are like {dataset.ids[0]!r}"
                if self.ids
                else "the table of boxes is empty"
            )
        if self.classes is None or not dataset.classes:
            return
        over = np.flatnonzero(self.classes >= len(dataset.classes))
        if len(over):
            raise DataError(
                f"a box of {self.ids[over[0]]!r} is of class {self.classes[over[0]]}, and data "
                f"{dataset.options.spec!r} has {len(dataset.classes)} classes, numbered from 0"
            )


def seen_as(dataset: Photos, view: View | None) -> View | None:
    """The view that holds for a data set, whose SPEC may set a size; None for photos as they are."""
    size = dataset.options.size
    return view if size is None else View(size, size, size)


def photo_size(dataset: Photos, index: int) -> tuple[int, int]:
    """Width and height of a photo; of one that cannot be read 1 and 1, for it is not explained either."""
    if index not in dataset.photo_sizes:
        try:
            dataset.photo_sizes[index] = form_of(dataset.fetch(index))[1]
        except BadImage:
            return 1, 1
    return dataset.photo_sizes[index]


def _placed(
    boxes: NDArray[np.float64], width: int, height: int, view: View | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Boxes of one photo in pixels of the view, as (left, top, right, bottom), and of which something is left."""
    x, y, w, h = boxes.T
    corners = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1)
    if view is None:
        moved, limits = corners * [width, height, width, height], [width, height]
    else:
        place, limits = place_photo(width, height, view), [view.width, view.height]
        moved = corners * ([place.width, place.height] * 2) - ([place.left, place.top] * 2)
    inside = np.clip(moved, 0, limits * 2)
    return inside, (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
