"""The object of an image as a layer of its own: its size, and that layer zoomed, moved, turned and pasted.

A layer is an image `[C, H, W]` with a mask bool `[H, W]`; pixels outside of the mask are never shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy
import torch
import torch.nn.functional as F
from torch import Tensor

TOLERANCE = 0.015
"""Distance from the wanted size at which resizing ends, as a share of the picture."""
ROUNDS = 50


class Box(NamedTuple):
    """Rows and columns of pixels, the ends excluded."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.right - self.left


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """An object that was changed.

    Args:
        image: float32 `[C, H, W]`.
        mask: bool `[H, W]`.
        problem: why the change could not be made; empty where it was.
    """

    image: Tensor
    mask: Tensor
    problem: str = ""


def bounding_box(mask: Tensor) -> Box:
    """The box around all pixels of a mask `[H, W]` that is not empty."""
    rows, columns = mask.any(1).nonzero().flatten(), mask.any(0).nonzero().flatten()
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def largest_box(mask: Tensor) -> Box:
    """The largest box around one connected part (8 neighbours) of a mask `[H, W]` that is not empty."""
    parts, _ = scipy.ndimage.label(mask.cpu().numpy(), np.ones((3, 3)))
    found = scipy.ndimage.find_objects(parts)
    boxes = [Box(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in found]
    return max(boxes, key=lambda box: box.height * box.width)


def object_size(mask: Tensor) -> float:
    """The share of a picture that its object covers: pixels of the mask inside of `largest_box`; 0 of an empty mask.

    >>> square = torch.zeros(100, 100, dtype=torch.bool)
    >>> square[10:30, 50:70] = True
    >>> object_size(square)
    0.04
    """
    if not bool(mask.any()):
        return 0.0
    top, left, bottom, right = largest_box(mask)
    return float(mask[top:bottom, left:right].sum()) / mask.numel()


def zoom_factor(size: float, wanted: float) -> float:
    """The factor by which height and width grow as an object's share of the picture becomes another.

    >>> zoom_factor(0.2, 0.05), round(zoom_factor(0.04, 0.09), 12)
    (0.5, 1.5)
    """
    return math.sqrt(wanted / size)


def zoom(image: Tensor, mask: Tensor, factor: float) -> tuple[Tensor, Tensor]:
    """Zoom so that the centre of the object's box keeps its relative place in the picture.

    Args:
        image: `[C, H, W]`.
        mask: bool `[H, W]`, not empty.
        factor: above 1 a window of the picture is enlarged; below 1 the picture is made smaller, and pixels around it
            are black and outside of the mask.

    Returns:
        Image (bilinear, antialiased) and mask (nearest) in the shapes that they came in.
    """
    sides, box = mask.shape, largest_box(mask)
    centre = ((box.top + box.bottom) / 2 / sides[0], (box.left + box.right) / 2 / sides[1])
    if factor >= 1:
        window = [max(1, round(side / factor)) for side in sides]
        top, left = (round((side - w) * c) for side, w, c in zip(sides, window, centre, strict=True))
        return stretched(image, mask, Box(top, left, top + window[0], left + window[1]))
    height, width = (max(1, round(side * factor)) for side in sides)
    top, left = (round((side - s) * c) for side, s, c in zip(sides, (height, width), centre, strict=True))
    small, outline = resized(image, mask, height, width)
    canvas, front = torch.zeros_like(image), torch.zeros_like(mask)
    canvas[:, top : top + height, left : left + width] = small
    front[top : top + height, left : left + width] = outline
    return canvas, front


def fill_picture(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Enlarge the object until its box, widened to the shape of the picture, is the whole picture."""
    height, width = mask.shape
    box = largest_box(mask)
    scale = max(box.height / height, box.width / width)
    rows, columns = min(height, math.ceil(height * scale)), min(width, math.ceil(width * scale))
    top = min(max(0, box.top - (rows - box.height) // 2), height - rows)
    left = min(max(0, box.left - (columns - box.width) // 2), width - columns)
    return stretched(image, mask, Box(top, left, top + rows, left + columns))


def resize_object(image: Tensor, mask: Tensor, wanted: float) -> Layer:
    """Zoom until the object covers a share of the picture, within `TOLERANCE` or in whole hundredths.

    Each round zooms the original by a factor that was corrected by the size met. An object that would have to be
    larger than it is in `fill_picture` is as large as there.

    Args:
        image: `[C, H, W]`.
        mask: bool `[H, W]`, not empty.
        wanted: share in (0, 1].

    Returns:
        The layer; with a problem, and unchanged, where the size moves away from the one wanted or `ROUNDS` rounds do
        not reach it.
    """
    full = fill_picture(image, mask)
    if wanted >= object_size(full[1]):
        return Layer(*full)
    factor, size, best = 1.0, object_size(mask), (image, mask)
    for _ in range(ROUNDS):
        if abs(size - wanted) <= TOLERANCE or math.floor(100 * size) == 100 * wanted:
            return Layer(*best)
        factor *= zoom_factor(size, wanted)
        best = zoom(image, mask, factor)
        before, size = size, object_size(best[1])
        if size == 0 or (size < before if before < wanted else size > before):
            break
    return Layer(image, mask, f"its object cannot be resized to {wanted:.0%} of the picture: it stays at {size:.1%}")


def move_object(image: Tensor, mask: Tensor, down: float, across: float) -> tuple[Tensor, Tensor]:
    """Move the box of the object to another corner.

    Args:
        image: `[C, H, W]`.
        mask: bool `[H, W]`, not empty.
        down: where the upper edge goes, in [0, 1): the first to the last row at which the whole box is inside.
        across: the same for the left edge.
    """
    box, (height, width) = bounding_box(mask), mask.shape
    top, left = int(down * (height - box.height + 1)), int(across * (width - box.width + 1))
    shifts = (top - box.top, left - box.left)
    return image.roll(shifts, (1, 2)), mask.roll(shifts, (0, 1))


def turn_object(image: Tensor, mask: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """Turn about the centre of the object's box.

    Args:
        image: `[C, H, W]`.
        mask: bool `[H, W]`, not empty.
        angle: in degrees, anticlockwise; whole turns change nothing.

    Returns:
        Image (bilinear) and mask (nearest); what turns out of the picture is gone.
    """
    if angle % 360 == 0:
        return image, mask
    from torchvision.transforms import InterpolationMode  # a second to import, and every method's module is imported
    from torchvision.transforms.functional import rotate

    box = largest_box(mask)
    centre = [(box.left + box.right) / 2, (box.top + box.bottom) / 2]
    turned = rotate(image, angle, InterpolationMode.BILINEAR, center=centre)
    outline = rotate(mask[None].float(), angle, InterpolationMode.NEAREST, center=centre)[0] > 0.5
    return turned, outline


def paste(objects: Tensor, masks: Tensor, backgrounds: Tensor) -> Tensor:
    """Objects on backgrounds: `x_o m + b (1 - m)`, exact where the mask is 0 or 1.

    Args:
        objects: `[..., C, H, W]`.
        masks: bool, broadcast to that shape.
        backgrounds: as `objects`.
    """
    return torch.where(masks, objects, backgrounds)


def stretched(image: Tensor, mask: Tensor, box: Box) -> tuple[Tensor, Tensor]:
    """The part of a layer in a box, enlarged to the whole picture."""
    rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
    return resized(image[:, rows, columns], mask[rows, columns], *mask.shape)


def resized(image: Tensor, mask: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """A layer in another size: the image bilinear and antialiased, the mask nearest."""
    if image.shape[1:] == (height, width):
        return image, mask
    size = (height, width)
    changed = F.interpolate(image[None], size, mode="bilinear", antialias=True, align_corners=False)[0]
    outline = F.interpolate(mask[None, None].float(), size, mode="nearest-exact")[0, 0] > 0.5
    return changed, outline


def fill_holes(images: Tensor, holes: Tensor) -> Tensor:
    """Fill holes from a pyramid of means of the known pixels (pull-push).

    A level halves height and width by means over what is known of four pixels, until nothing is unknown; on the way
    back a pixel that is unknown takes the value of the next smaller level, bilinear.

    Args:
        images: float32 `[N, C, H, W]`.
        holes: bool `[N, 1, H, W]`; no image is a hole as a whole.

    Returns:
        The same shape; pixels outside of the holes are as they were.

    Source: Gortler et al. 1996, doi:10.1145/237170.237200.
    """
    return torch.where(holes, _filled(images, (~holes).to(images.dtype)), images)


def _filled(values: Tensor, known: Tensor) -> Tensor:
    """Values `[N, C, H, W]` with all filled that is not known: 1 in `[N, 1, H, W]`, 0 where it is not."""
    if bool(known.all()) or values.shape[2:] == (1, 1):
        return values
    share = F.avg_pool2d(known, 2, ceil_mode=True, count_include_pad=False)
    mean = F.avg_pool2d(values * known, 2, ceil_mode=True, count_include_pad=False) / share.clamp(min=1e-6)
    coarse = _filled(mean, (share > 0).to(values.dtype))
    wide = F.interpolate(coarse, values.shape[2:], mode="bilinear", align_corners=False)
    return torch.where(known > 0, values, wide)
