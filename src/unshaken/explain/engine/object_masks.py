"""Where the object is, from masks or from boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unshaken.core.errors import DataError
from unshaken.explain.engine.metric import Case


def box_masks(boxes: Sequence[Tensor], height: int, width: int) -> Tensor:
    """The pixels whose centre lies in a box of the sample.

    Args:
        boxes: for each sample `[n, 4]` as (left, top, right, bottom) in pixels, the right and lower end excluded.
        height: of the images.
        width: of the images.

    Returns:
        bool `[N, H, W]`.

    >>> box_masks([torch.tensor([[1.0, 0.0, 3.0, 1.0]])], 2, 4).int().tolist()
    [[[0, 1, 1, 0], [0, 0, 0, 0]]]
    """
    found = torch.zeros(len(boxes), height, width, dtype=torch.bool)
    rows, columns = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    for mask, several in zip(found, boxes, strict=True):
        for left, top, right, bottom in several.tolist():
            mask |= ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))
    return found


def object_masks(case: Case, metric: str) -> Tensor:
    """Where the object of each sample is: its mask, or all its boxes.

    Args:
        case: with `truth`, or with `boxes`.
        metric: name of the one that asks, for the message.

    Returns:
        bool `[N, H, W]`, on the device of the maps.

    Raises:
        DataError: the case has neither.
    """
    if case.truth is not None:
        return case.truth.to(case.maps.device)
    if case.boxes is not None:
        return box_masks(case.boxes, *case.maps.shape[1:]).to(case.maps.device)
    raise DataError(f"{metric} needs to know where the object is: give boxes or masks (--boxes FILE)")
