"""`BoxOutput`: a detector of objects whose output is one tensor, so that it is run and counted as any model is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.boxes import DETECTION, NONE
from unshaken.core.errors import ModelError

MOST = 100
"""Detections of an image that are kept, the best scored ones, as COCO's figures count them."""
NO_CLASS = ("__background__", "no person", "N/A")
"""Names of published detectors for labels that are no class of objects."""
KEYS = ("boxes", "labels", "scores")


class BoxOutput(nn.Module):
    """A detector with its detections as one tensor `[N, most, 6]`; see `unshaken.core.boxes`.

    Gradients pass to scores and corners, so that a search may change what is found.

    Args:
        net: takes images `[N, C, H, W]` and returns for each a dict of `boxes` `[d, 4]` as (left, top, right, bottom)
            in pixels of the image, `labels` `[d]` and `scores` `[d]`, as torchvision's detectors do.
        most: detections of an image that are kept.
        numbers: the class of each of the net's labels, -1 where it stands for none; None where labels are classes.
    """

    task: ClassVar[str] = "detection"
    numbers: Tensor | None

    def __init__(self, net: nn.Module, most: int = MOST, numbers: Sequence[int] | None = None) -> None:
        super().__init__()
        self.net, self.most = net, most
        self.register_buffer("numbers", None if numbers is None else torch.tensor(numbers), persistent=False)

    @override
    def forward(self, images: Tensor) -> Tensor:
        found: Sequence[Mapping[str, Tensor]] = self.net(images)
        if not isinstance(found, Sequence) or len(found) != len(images) or not all(map(_fits, found)):
            raise ModelError(
                "a detector must return for each image a dict of boxes [d, 4], labels [d] and scores [d], not "
                f"{_form(found)}"
            )
        out = images.new_zeros(len(images), self.most, DETECTION, dtype=torch.float32)
        out[..., 4] = NONE
        rows = [self._rows(one) for one in found]
        return torch.stack([torch.cat([row, empty[len(row) :]]) for row, empty in zip(rows, out, strict=True)])

    def _rows(self, one: Mapping[str, Tensor]) -> Tensor:
        boxes, labels, scores = one["boxes"].float(), one["labels"].long(), one["scores"].float()
        if self.numbers is not None:
            if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(self.numbers):
                raise ModelError(f"a detector gave a label that is not one of 0 to {len(self.numbers) - 1}")
            labels = self.numbers[labels]
            boxes, labels, scores = boxes[labels >= 0], labels[labels >= 0], scores[labels >= 0]
        best = scores.argsort(descending=True, stable=True)[: self.most]
        return torch.cat([boxes[best], labels[best, None].float(), scores[best, None]], 1)


def number_labels(names: Sequence[str]) -> tuple[tuple[str, ...], list[int]]:
    """The names that are classes of objects, and the number among them of each name; see `BoxOutput`.

    Args:
        names: by label; those of `NO_CLASS` stand for none.

    >>> number_labels(["__background__", "person", "N/A", "car"])
    (('person', 'car'), [-1, 0, -1, 1])
    """
    classes = tuple(name for name in names if name not in NO_CLASS)
    places = iter(range(len(classes)))
    return classes, [-1 if name in NO_CLASS else next(places) for name in names]


def _fits(one: Any) -> bool:
    if not isinstance(one, Mapping) or not all(isinstance(one.get(key), Tensor) for key in KEYS):
        return False
    boxes, labels, scores = (one[key] for key in KEYS)
    return bool(boxes.ndim == 2 and boxes.shape[1] == 4 and labels.shape == scores.shape == boxes.shape[:1])


def _form(found: Any) -> str:
    if isinstance(found, Tensor):
        return f"a Tensor of shape {tuple(found.shape)}"
    if isinstance(found, Sequence) and found and isinstance(found[0], Mapping):
        parts = (f"{key} {list(getattr(value, 'shape', ()))}" for key, value in found[0].items())
        return f"dicts of {', '.join(parts)}"
    return f"a {type(found).__name__}"
