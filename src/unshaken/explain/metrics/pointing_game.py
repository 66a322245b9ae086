"""Pointing game: whether the map's maximum lies on the object."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, NonNegativeFloat
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.registry import register
from unshaken.explain.engine.metric import Case, MapMetric, MapScores, object_masks


@register("pointing-game", reference="Zhang et al. 2018, arXiv:1608.00507", group="metric")
class PointingGame(MapMetric):
    """Pointing game: 1 where the map's maximum lies on the object, or near enough, else 0.

    Of several equal maxima the first counts, row by row. A random map hits with the object's share of the image; a
    point at the centre is the baseline to beat. NaN for a constant map, and where the sample has no object.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"truth"})

    tolerance: NonNegativeFloat = Field(
        default=0, description="distance to the object that still counts, in pixels; published with 15 at full size"
    )

    @property
    @override
    def hits(self) -> bool:
        return True

    @override
    def judge(self, case: Case) -> MapScores:
        inside, width = object_masks(case, self.info.name), case.maps.shape[2]
        flat = case.maps.flatten(1)
        place = flat.argmax(1)
        rows, columns = (torch.arange(n, device=flat.device) for n in inside.shape[1:])
        down, across = rows[:, None] - (place // width)[:, None, None], columns - (place % width)[:, None, None]
        near = (down.square() + across.square() <= self.tolerance**2) & inside
        known = (flat.amax(1) > flat.amin(1)) & inside.any(2).any(1)
        return MapScores.free(torch.where(known, widen(near.any(2).any(1)), torch.nan))
