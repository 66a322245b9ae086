"""Scenes of tinted garments on a texture, with their boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unshaken.measure.object_detection.matching import Objects

SIDE, GAP, TRIES = 64, 2, 20
"""Pixels of a scene; pixels between two boxes at least; tries to place a garment."""
SILHOUETTE = 0.2
"""Brightness from which a pixel belongs to the garment."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scenes:
    """Scenes with their objects.

    Args:
        images: uint8 `[N, 3, 64, 64]`.
        objects: of each scene.
    """

    images: Tensor
    objects: list[Objects]


def draw_scenes(garments: Sequence[Tensor], count: int, seed: int) -> Scenes:
    """Draw scenes of one to three garments that do not overlap.

    Args:
        garments: for each class, uint8 `[n, 1, H, W]`.
        count: number of scenes.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    images, objects = [], []
    for _ in range(count):
        image = _texture(rng)
        boxes: list[list[int]] = []
        kinds: list[int] = []
        for _ in range(int(rng.integers(1, 4))):
            kind = int(rng.integers(len(garments)))
            shape = _scaled(garments[kind][int(rng.integers(len(garments[kind])))], int(rng.integers(20, 30)))
            box = _place(shape.shape, boxes, rng)
            if box is None:
                continue
            left, top, right, bottom = box
            tint = rng.uniform(0.5, 1.0, 3)[:, None, None]
            part = image[:, top:bottom, left:right]
            part[:] = np.where(shape > SILHOUETTE, shape * tint, part)
            boxes.append(box)
            kinds.append(kind)
        images.append(np.clip(image + rng.normal(0, 0.03, image.shape), 0, 1))
        corners = np.array(boxes, np.float64).reshape(-1, 4)
        objects.append(Objects(corners, np.array(kinds, np.int64), np.zeros(len(kinds), bool)))
    pixels = torch.from_numpy((np.stack(images) * 255).round().astype(np.uint8))
    return Scenes(pixels, objects)


def box_table(objects: Sequence[Objects]) -> Tensor:
    """Boxes as training takes them, float32 `[N, M, 5]`: corners and class, -1 in rows that are empty."""
    found = torch.full((len(objects), max(len(o.classes) for o in objects), 5), -1.0)
    for row, one in zip(found, objects, strict=True):
        row[: len(one.classes)] = torch.from_numpy(np.column_stack([one.boxes, one.classes]))
    return found


def _scaled(garment: Tensor, side: int) -> Floats:
    """A garment of some side in pixels, cut to its silhouette, in [0, 1]."""
    small = F.interpolate(garment[None].float() / 255, (side, side), mode="bilinear", align_corners=False)
    shape = small[0, 0].numpy().astype(np.float64)
    inside = shape > SILHOUETTE
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return shape
    cut: Floats = shape[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return cut


def _place(size: tuple[int, ...], boxes: Sequence[Sequence[int]], rng: np.random.Generator) -> list[int] | None:
    """A box (left, top, right, bottom) of some size clear of others; None where none was found."""
    height, width = size
    for _ in range(TRIES):
        top, left = int(rng.integers(0, SIDE - height + 1)), int(rng.integers(0, SIDE - width + 1))
        box = [left, top, left + width, top + height]
        if all(_apart(box, other) for other in boxes):
            return box
    return None


def _apart(one: Sequence[int], other: Sequence[int]) -> bool:
    return any(one[i] >= other[i + 2] + GAP or other[i] >= one[i + 2] + GAP for i in (0, 1))


def _texture(rng: np.random.Generator) -> Floats:
    """Smooth coloured noise between 0 and 0.4, `[3, 64, 64]`."""
    coarse, fine = (torch.from_numpy(rng.random((1, 3, n, n))) for n in (4, 13))
    grown = [F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=True)[0].numpy() for x in (coarse, fine)]
    return np.asarray(0.3 * grown[0] + 0.1 * grown[1], np.float64)
