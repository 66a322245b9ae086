"""Synthetic scenes in bird's-eye view: objects, what a camera makes of them, and labels whose depth is off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unshaken.core.errors import ParameterError
from unshaken.measure.statistics.columns import Numbers
from unshaken.tasks.bev.boxes import rasterise

LENGTHS = (4.0, 8.0, 12.0, 16.0, 20.0, 24.0)
"""Ends of the bins of length along depth, in cells."""
CLUTTER = 0.25
"""Weight of a photo that is laid over a scene."""
LEAST = (28, 24)
"""Rows and columns that a map has at least."""


@dataclass(frozen=True, slots=True, eq=False)
class Scenes:
    """Scenes of a map of cells, rows by depth (row 0 is farthest), columns across.

    Args:
        images: what the camera sees, uint8 `[N, 1, H, W]`: the map blurred along depth, with noise.
        masks: the true map, uint8 `[N, H, W]`: 1 where there is an object.
        labels: the map as it was labelled, each object moved along depth.
        scene: of each object, int64 `[M]`.
        boxes: true boxes in cells, `[M, 7]`: x is the row, y the column.
        moved: how far the label of each object is off, in cells, `[M]`.
    """

    images: Tensor
    masks: Tensor
    labels: Tensor
    scene: NDArray[np.int64]
    boxes: Numbers
    moved: Numbers


def draw_scenes(
    count: int, seed: int, *, shape: tuple[int, int] = (64, 32), noise: float = 2.0, blur: float = 2.0,
    grain: float = 0.15, turn: float = 0.0, clutter: Tensor | None = None,
) -> Scenes:  # fmt: skip
    """Draw scenes with one to three objects that do not share a column.

    Args:
        count: number of scenes.
        seed: of the draws.
        shape: rows (depth) and columns of the map.
        noise: deviation of the labels' depth at the middle of the map, in cells; it grows with the range.
        blur: deviation of the blur along depth at the middle, in cells; it grows with the range.
        grain: deviation of the noise of pixels, in [0, 1] units.
        clutter: photos, uint8 `[P, C, h, w]`, one of which is laid faintly over each scene; None for none.
        turn: largest yaw of an object in radians; objects that are turned may share columns.

    Raises:
        ParameterError: the map is too small.
    """
    height, width = shape
    if height < LEAST[0] or width < LEAST[1]:
        raise ParameterError(f"shape {shape} is too small for objects of 24 cells: at least {LEAST[0]} x {LEAST[1]}")
    rng = np.random.default_rng(seed)
    images, masks, labels = [], [], []
    scene, boxes, moved = list[int](), list[Numbers](), list[float]()
    for i in range(count):
        own = _place(rng, height, width, turn)
        share = 2 * (height - own[:, 0]) / height  # of the range at the middle
        shifts = rng.normal(size=len(own)) * noise * share
        kinds = np.ones(len(own), np.int64)
        mask = rasterise(own, kinds, shape)
        off = own.copy()
        off[:, 0] = np.clip(off[:, 0] + shifts, 1, height - 1)
        photo = None if clutter is None else clutter[int(rng.integers(len(clutter)))]
        images.append(_render_photo(mask, blur, grain, rng, photo))
        masks.append(mask)
        labels.append(rasterise(off, kinds, shape))
        scene += [i] * len(own)
        boxes.append(own)
        moved += (off[:, 0] - own[:, 0]).tolist()
    pixels = (np.stack(images) * 255).round().astype(np.uint8)
    return Scenes(
        torch.from_numpy(pixels)[:, None], torch.from_numpy(np.stack(masks)), torch.from_numpy(np.stack(labels)),
        np.array(scene, np.int64), np.concatenate(boxes), np.array(moved),
    )  # fmt: skip


def _place(rng: np.random.Generator, height: int, width: int, turn: float) -> Numbers:
    """Boxes of one to three objects, each in a strip of columns of its own."""
    count = int(rng.integers(1, 4))
    strip = width / count
    found = []
    for k in range(count):
        length = float(rng.uniform(LENGTHS[0], LENGTHS[-1]))
        across = float(rng.uniform(3, min(8, strip - 3)))
        x = float(rng.uniform(length / 2 + 1, height - length / 2 - 1))
        y = float(rng.uniform(k * strip + across / 2 + 1, (k + 1) * strip - across / 2 - 1))
        found.append([x, y, 0.0, length, across, 1.0, float(rng.uniform(-turn, turn))])
    return np.array(found)


def _render_photo(
    mask: NDArray[np.uint8], blur: float, grain: float, rng: np.random.Generator, photo: Tensor | None
) -> Numbers:
    """The map blurred along depth, more so far away, with noise and a faint photo."""
    height = len(mask)
    near, far = (scipy.ndimage.gaussian_filter1d(mask.astype(float), s, axis=0) for s in (0.25 * blur, 2 * blur))
    share = ((height - np.arange(height) - 0.5) / height)[:, None]
    pixels = 0.15 + 0.7 * (share * far + (1 - share) * near) + rng.normal(0, grain, mask.shape)
    if photo is not None:
        grey = photo.float().mean(0)[None, None] / 255
        pixels += CLUTTER * F.interpolate(grey, mask.shape, mode="bilinear", align_corners=False)[0, 0].numpy()
    return np.asarray(np.clip(pixels, 0, 1))
