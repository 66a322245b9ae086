"""`PerturbationCurve`: the class's score while pixels are exchanged in the order of the map, and the area under it."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, NonNegativeInt, model_validator
from torch import Tensor
from typing_extensions import override

from unshaken.explain.engine.probed_metric import MapTarget, Probes, RemovalMetric


def area_under_curve(curves: Tensor) -> Tensor:
    """The area under a curve of n points at equal distances on [0, 1]: `(sum_i p_i - p_1/2 - p_n/2) / (n - 1)`.

    Args:
        curves: `[..., n]`, n at least 2.

    Returns:
        `[...]`.

    >>> area_under_curve(torch.tensor([1, 0.6, 0.3, 0.1, 0], dtype=torch.float64)).item()
    0.375
    """
    return (curves.sum(-1) - curves[..., 0] / 2 - curves[..., -1] / 2) / (curves.shape[-1] - 1)


def removal_ranks(maps: Tensor) -> Tensor:
    """Each pixel's place in the descending order of the map; of equal pixels the first comes first.

    Args:
        maps: `[N, H, W]`.

    Returns:
        int64 `[N, H, W]`, from 0.
    """
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places).view_as(maps)


class PerturbationCurve(RemovalMetric):
    """Base class of insertion and deletion: a subclass says which of two images the curve begins with.

    Raw areas follow the model's confidence: a model that says `p` of every image has the area `p` for every map.
    With `corrected` the value is `(area - area of a random order) / p(clean image)` of the same sample.
    """

    score: Literal["probability", "logit"] = Field(
        "probability", description="score that is looked at: probability or logit"
    )
    steps: NonNegativeInt = Field(0, description="number of steps; 0 for one row of the image a step")
    corrected: bool = Field(False, description="minus the area of a random order, and divided by the clean confidence")
    removes: ClassVar[bool]

    @model_validator(mode="after")
    def _check_score(self) -> Self:
        if self.corrected and self.score != "probability":
            raise ValueError("a logit has no scale to be corrected by: use score=probability with corrected=true")
        return self

    def _steps(self, height: int, width: int) -> int:
        return min(self.steps or height, height * width)

    @override
    def count(self, height: int, width: int) -> int:
        steps = self._steps(height, width)
        return 2 * steps if self.corrected else steps + 1

    @override
    def probes(self, target: MapTarget, number: Tensor) -> Probes:
        """Copy k of K has the first `k H W / K` pixels exchanged."""
        height, width = target.maps.shape[1:]
        steps, pixels = self._steps(height, width), height * width
        ranks = removal_ranks(target.maps)[:, None]
        at = number
        if self.corrected:
            drawn = target.rng.fold("order").uniform(height, width).to(target.maps)
            ranks = torch.where((number > steps)[:, :, None, None], removal_ranks(drawn)[:, None], ranks)
            at = torch.where(number > steps, number - steps, number)
        changed = ranks < (at * pixels // steps)[:, :, None, None]
        first, last = (target.images, target.removed) if self.removes else (target.removed, target.images)
        return Probes(torch.where(changed[:, :, None], last[:, None], first[:, None]))

    @override
    def finish(self, target: MapTarget, scores: Tensor, expected: Tensor) -> Tensor:
        steps = self._steps(*target.maps.shape[1:])
        curve = scores[:, : steps + 1]
        area = area_under_curve(curve)
        if not self.corrected:
            return area
        control = torch.cat([curve[:, :1], scores[:, steps + 1 :], curve[:, -1:]], 1)
        clean = curve[:, 0] if self.removes else curve[:, -1]
        return torch.where(clean > 0, (area - area_under_curve(control)) / clean, torch.nan)
