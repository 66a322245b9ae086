"""WSOL: whether the box of the map's largest blob is an object's box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import scipy
import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.explain.engine.compare_maps import min_max
from unshaken.explain.engine.metric import Case, MapMetric, MapScores

GRID = tuple(round(0.05 * i, 2) for i in range(1, 20))
"""Thresholds among which one is chosen."""


@register("wsol", reference="Choe et al. 2020, arXiv:2001.07437", group="metric")
class WSOL(MapMetric):
    """Weakly supervised localisation: whether the box around the map's largest blob overlaps a true box enough.

    The map is brought to [0, 1]; the blob is the largest connected set (with diagonals) of pixels at or above the
    threshold. Choose the threshold on other images than those that are judged, by `choose_threshold`: one that is
    chosen on the same images inflates the score. NaN for a constant map, and where the sample has no box.

    Boxes are (left, top, right, bottom) with the right and the lower end excluded, so that a box of one pixel has the
    area 1; this is the same as corners that name the last pixel, with 1 added to each side. `convention=corners` takes
    the last pixel's own number as the end instead, as some code does: boxes become smaller by 1 in each direction.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"boxes"})

    threshold: float = Field(
        default=0.2, gt=0, lt=1, description="level of the map in [0, 1]; choose it on other images"
    )
    iou: float = Field(default=0.5, ge=0, lt=1, description="intersection over union that a hit exceeds")
    clip: bool = Field(default=False, description="count negative values as 0 first, for maps with signs")
    value: Literal["hit", "iou"] = Field(
        default="hit", description="hit for 1 or 0, or iou for the best overlap itself"
    )
    convention: Literal["pixels", "corners"] = Field(default="pixels", description="ends of a box: see the class")

    @property
    @override
    def hits(self) -> bool:
        return self.value == "hit"

    @override
    def judge(self, case: Case) -> MapScores:
        if case.boxes is None:
            raise DataError("wsol needs the boxes of the objects: give them (--boxes FILE)")
        maps = case.maps.clamp(min=0) if self.clip else case.maps
        varies = (maps.amax((1, 2)) > maps.amin((1, 2))).tolist()
        best = [
            self._overlap(one, boxes) if good and len(boxes) else float("nan")
            for one, boxes, good in zip(min_max(maps).cpu(), case.boxes, varies, strict=True)
        ]
        found = torch.tensor(best, dtype=torch.float64)
        return MapScores.free(torch.where(found.isnan(), found, widen(found > self.iou)) if self.hits else found)

    def _overlap(self, one: Tensor, boxes: Tensor) -> float:
        """The largest intersection over union of the blob's box with the true ones; 0 where both are empty."""
        cut = np.array([0, 0, 1, 1] if self.convention == "corners" else [0, 0, 0, 0])
        blob, others = np.array(blob_box(one, self.threshold), np.float64) - cut, boxes.cpu().double().numpy() - cut
        inner = np.minimum(blob[2:], others[:, 2:]) - np.maximum(blob[:2], others[:, :2])
        shared = np.prod(np.clip(inner, 0, None), 1)
        union = np.prod(blob[2:] - blob[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
        return float(np.where(union > 0, shared / np.where(union > 0, union, 1), 0.0).max())


def blob_box(one: Tensor, threshold: float) -> tuple[int, int, int, int]:
    """The box of the largest connected set of pixels at or above a threshold; of equally large ones the first.

    Args:
        one: `[H, W]` in [0, 1], with a pixel of 1.
        threshold: in (0, 1).

    Returns:
        Left, top, right, bottom; the right and the lower end excluded.

    >>> blob_box(torch.tensor([[0, 0.9, 0.8, 0], [1, 0, 0, 0.3]]), 0.5)
    (0, 0, 3, 2)
    """
    parts, _ = scipy.ndimage.label(one.numpy() >= threshold, structure=np.ones((3, 3)))
    largest = int(np.bincount(parts.ravel())[1:].argmax()) + 1
    rows, columns = scipy.ndimage.find_objects(parts)[largest - 1]
    return columns.start, rows.start, columns.stop, rows.stop


def choose_threshold(case: Case, metric: WSOL | None = None, *, judged: Sequence[str]) -> WSOL:
    """The metric with the threshold of `GRID` that is best on the images of a case; of equal ones the lowest.

    Args:
        case: images that only choose.
        metric: whose other parameters hold.
        judged: ids of the images that will be judged.

    Raises:
        DataError: an image is in both sets, or none has a box and a map that varies.
    """
    both = sorted(set(case.ids) & set(judged))
    if both:
        raise DataError(
            f"{len(both)} images, such as {both[0]!r}, choose the threshold and are judged by it: choose on others"
        )
    given = (metric or WSOL()).model_dump()
    means = []
    for threshold in GRID:
        values = WSOL(**given | {"threshold": threshold}).judge(case).value
        means.append(values[~values.isnan()].mean().item())
    if np.isnan(means).any():
        raise DataError("no image that should choose the threshold has a box and a map that is not constant")
    return WSOL(**given | {"threshold": GRID[int(np.argmax(means))]})
