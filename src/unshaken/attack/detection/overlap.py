"""How boxes overlap, for whole batches and with gradients to the corners."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.boxes import NONE

FITS = 0.5
"""Overlap from which a detection fits an object."""
LEAST = 1e-3
"""Score from which a detection counts in objectives; those of lower scores are as good as none."""


def overlap(boxes: Tensor, objects: Tensor) -> Tensor:
    """Intersection over union of every detection with every object of its image; 0 of empty rows.

    Args:
        boxes: `[N, D, 6]`; see `unshaken.core.boxes`.
        objects: `[N, M, 7]`.

    Returns:
        `[N, D, M]`, with gradients to the detections' corners.

    >>> one = torch.tensor([[[0.0, 0, 10, 10, 0, 1]]])
    >>> overlap(one, torch.tensor([[[1.0, 1, 11, 11, 0, 0, 100]]])).round(decimals=6).tolist()
    [[[0.6806719899177551]]]
    """
    ours, theirs = boxes[:, :, None, :4], objects[:, None, :, :4].to(boxes)
    low, high = torch.maximum(ours[..., :2], theirs[..., :2]), torch.minimum(ours[..., 2:], theirs[..., 2:])
    inside = (high - low).clamp(min=0).prod(-1)
    union = _area(ours) + _area(theirs) - inside
    there = is_there(boxes)[:, :, None] & is_there(objects)[:, None]
    return torch.where(there & (union > 0), inside / union.clamp(min=1e-9), 0.0)


def is_there(boxes: Tensor) -> Tensor:
    """Which rows are not empty, bool `[N, M]`."""
    return boxes[..., 4] > NONE / 2


def of_same_class(boxes: Tensor, objects: Tensor) -> Tensor:
    """Which detections have the class of which objects, bool `[N, D, M]`; empty rows have none."""
    same = boxes[:, :, None, 4] == objects[:, None, :, 4].to(boxes)
    return same & is_there(boxes)[:, :, None]


def fits(boxes: Tensor, objects: Tensor) -> Tensor:
    """Which detections overlap which objects by a half and more, whatever their classes, bool `[N, D, M]`."""
    return overlap(boxes.detach(), objects) >= FITS


def log_score(boxes: Tensor) -> Tensor:
    """`log(s / LEAST)` of each detection's score s, 0 below `LEAST` and of empty rows, `[N, D]`."""
    return torch.where(is_there(boxes), (boxes[..., 5].clamp(LEAST, 1) / LEAST).log(), 0.0)


def log_absence(boxes: Tensor) -> Tensor:
    """`log(1 - s)` of each detection's score s: the log-probability that it is none; 0 of empty rows, `[N, D]`."""
    return torch.where(is_there(boxes), (1 - (1 - 1e-6) * boxes[..., 5].clamp(0, 1)).log(), 0.0)


def with_a_row(objects: Tensor) -> Tensor:
    """The same objects `[N, M, 7]`, M at least 1, so that a largest value over them exists."""
    return objects if objects.shape[1] else F.pad(objects, (0, 0, 0, 1), value=NONE)


def _area(corners: Tensor) -> Tensor:
    size = corners[..., 2:] - corners[..., :2]
    return size[..., 0] * size[..., 1]
