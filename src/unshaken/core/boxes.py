"""Boxes of several images as one tensor: rows `(left, top, right, bottom, class, ...)`, filled up with empty rows.

Of objects a row has two more numbers, `crowd` (1 for a region of many) and `area` in pixels of the photo; of detections
one, the score. Pixels are those of the image that the model sees, whose left upper corner is (0, 0).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

OBJECT, DETECTION = 7, 6
"""Numbers of a row."""
NONE = -1.0
"""The class of an empty row."""


def stack_boxes(parts: Sequence[Tensor], width: int) -> Tensor:
    """The boxes of several images, float32 `[N, M, width]`, where M is the most that one image has.

    Args:
        parts: of each image float32 `[m, width]`.
        width: numbers of a row.

    >>> stack_boxes([torch.ones(2, 6), torch.ones(0, 6)], 6)[..., 4].tolist()
    [[1.0, 1.0], [-1.0, -1.0]]
    """
    most = max((len(part) for part in parts), default=0)
    out = torch.zeros(len(parts), most, width)
    out[..., 4] = NONE
    for row, part in zip(out, parts, strict=True):
        row[: len(part)] = part
    return out


def join_boxes(parts: Sequence[Tensor]) -> Tensor:
    """Boxes of several batches `[n, m, width]` as those of one."""
    most = max(part.shape[1] for part in parts)
    return torch.cat([_filled(part, most) for part in parts])


def _filled(boxes: Tensor, most: int) -> Tensor:
    empty = boxes.new_zeros(len(boxes), most - boxes.shape[1], boxes.shape[2])
    empty[..., 4] = NONE
    return torch.cat([boxes, empty], 1)


def shift_boxes(boxes: Tensor, dy: Tensor, dx: Tensor, height: int, width: int) -> Tensor:
    """Boxes after the camera has moved: what leaves the image is cut off, and a box that is gone becomes empty.

    Args:
        boxes: `[N, M, ...]`.
        dy: pixels down, `[N]`; the content goes up.
        dx: pixels to the right, `[N]`; the content goes left.
        height: of the images in pixels.
        width: of the images.
    """
    step = torch.stack([dx, dy, dx, dy], 1)[:, None].to(boxes)
    limits = boxes.new_tensor([width, height, width, height])
    corners = torch.minimum((boxes[..., :4] - step).clamp(min=0), limits)
    gone = (corners[..., 2:] <= corners[..., :2]).any(-1)
    classes = boxes[..., 4].masked_fill(gone, NONE)
    return torch.cat([corners, classes[..., None], boxes[..., 5:]], -1)


def boxed(images: Tensor) -> Tensor:
    """Values cut to [0, 1]; the gradient passes wherever nothing is cut, at 0 and 1 too.

    `torch.clamp` passes it there in torch 2.13, and stops it in 2.15: an attack through a clamp then never moves a
    pixel that is black or white, and a picture on a black ground looks robust.

    >>> x = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0], requires_grad=True)
    >>> boxed(x).tolist()
    [0.0, 0.0, 0.5, 1.0, 1.0]
    >>> torch.autograd.grad(boxed(x).sum(), x)[0].tolist()
    [0.0, 1.0, 1.0, 1.0, 0.0]

    Args:
        images: any shape; NaN stays NaN.
    """
    return torch.where((images < 0) | (images > 1), images.detach().clamp(0, 1), images)
