"""`BoxOutput`: a detector of objects whose output is one tensor, so that it is run and counted as any model is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from unshaken.core.boxes import DETECTION, NONE
from unshaken.core.errors import ModelError

MOST = 100
"""Detections of an image that are kept, the best scored ones, as COCO's figures count them."""
KEYS = ("boxes", "labels", "scores")


class BoxOutput(nn.Module):
    """A detector with its detections as one tensor `[N, most, 6]`; see `unshaken.core.boxes`.

    Gradients pass to scores and corners, so that a search may change what is found.

    Args:
        net: takes images `[N, C, H, W]` and returns for each a dict of `boxes` `[d, 4]` as (left, top, right, bottom)
            in pixels of the image, `labels` `[d]` and `scores` `[d]`, as torchvision's detectors do.
        most: detections of an image that are kept.
    """

    task: ClassVar[str] = "detection"

    def __init__(self, net: nn.Module, most: int = MOST) -> None:
        super().__init__()
        self.net, self.most = net, most

    def forward(self, images: Tensor) -> Tensor:
        """Detections by falling score, filled up with empty rows.

        Raises:
            ModelError: the net's output has another form.
        """
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
        scores = one["scores"].float()
        best = scores.argsort(descending=True, stable=True)[: self.most]
        labels = one["labels"][best].float()
        return torch.cat([one["boxes"][best].float(), labels[:, None], scores[best][:, None]], 1)


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
