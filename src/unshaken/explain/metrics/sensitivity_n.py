"""Sensitivity-n: whether the map's sum over a set of pixels tells how far the score falls without them."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.registry import register
from unshaken.explain.engine.attribution import Score
from unshaken.explain.engine.compare_maps import pearson
from unshaken.explain.engine.probed_metric import MapTarget, Probes, RemovalMetric


@register("sensitivity-n", reference="Ancona et al. 2018, arXiv:1711.06104", group="metric")
class SensitivityN(RemovalMetric):
    """Sensitivity-n: Pearson's correlation of a map's sum over n random pixels and the fall of the score without them.

    From -1 to 1, higher is better; 1 for a map of shares of a linear model. NaN where the map or the score does not
    vary over the sets. With one size of sets this is also the faithfulness correlation of Bhatt et al. 2020.
    """

    score: Score = Field(default="logit", description="score that is looked at: logit, probability or log-probability")
    share: float = Field(default=0.2, gt=0, lt=1, description="size n of a set, as a share of the pixels")
    samples: int = Field(default=100, ge=3, description="number of sets")

    @override
    def count(self, height: int, width: int) -> int:
        return 1 + self.samples

    @override
    def probes(self, target: MapTarget, number: Tensor) -> Probes:
        pixels = target.maps[0].numel()
        n = max(1, round(self.share * pixels))
        sets = []
        for one in number.T:
            drawn = target.rng.fold(one).uniform(pixels).to(target.maps)
            chosen = drawn.topk(n, dim=1, largest=False).indices
            sets.append(torch.zeros_like(drawn, dtype=torch.bool).scatter_(1, chosen, value=True))
        removed = torch.stack(sets, 1).view(*number.shape, *target.maps.shape[1:]) & (number > 0)[:, :, None, None]
        expected = torch.einsum("nhw,nqhw->nq", widen(target.maps), widen(removed))
        return Probes(torch.where(removed[:, :, None], target.removed[:, None], target.images[:, None]), expected)

    @override
    def finish(self, target: MapTarget, scores: Tensor, expected: Tensor) -> Tensor:
        return pearson(scores[:, :1] - scores[:, 1:], expected[:, 1:])
