"""Mask share: how much of what counts for the class lies on the object."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.registry import register
from unshaken.explain.engine.metric import Case, MapMetric, MapScores, object_masks


@register("mask-share", reference="Böhle et al. 2021, arXiv:2104.00032", group="metric")
class MaskShare(MapMetric):
    """Mask share: the share of the positive attribution that lies inside the object's mask or boxes.

    In the grid game, where the object is one tile of a mosaic, this is the localisation score. Higher is better; a
    random map has about the object's share of the image. A map whose zero means nothing, such as RISE's, which is the
    mean score everywhere and a little more where it counts, is judged by what exceeds its own mean. NaN where nothing
    is left, or the sample has no object.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"truth"})

    above: Literal["zero", "mean"] = Field(
        default="zero", description="values that count: those above zero, or above the map's mean"
    )

    @override
    def judge(self, case: Case) -> MapScores:
        inside, maps = object_masks(case, self.info.name), widen(case.maps)
        positive = (maps - maps.mean((1, 2), keepdim=True) if self.above == "mean" else maps).clamp(min=0)
        total = positive.sum((1, 2))
        known = (total > 0) & inside.any(2).any(1)
        return MapScores.free(torch.where(known, (positive * inside).sum((1, 2)) / total, torch.nan))
