"""ROAD: removal of pixels, the most or the least relevant first, with what their neighbours let guess put in."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.registry import register
from unshaken.explain.engine.impute import impute
from unshaken.explain.engine.perturbation_curve import removal_ranks
from unshaken.explain.engine.probed_metric import MapTarget, ProbedMetric, Probes


@register("road", reference="Rong et al. 2022, arXiv:2202.00449", group="metric")
class ROAD(ProbedMetric):
    """ROAD: how far the class's probability falls while pixels are replaced by noisy linear imputation.

    Removed pixels become the weighted mean of their neighbours, plus noise: little shows where something was. Higher is
    better in each order: `morf` is the mean fall with the most relevant pixels removed first, `lerf` minus that with
    the least relevant first, `combined` half their sum, in [-1, 1] for probabilities, and about 0 for a random map.
    """

    order: Literal["combined", "morf", "lerf"] = Field("combined", description="combined, morf or lerf")
    steps: PositiveInt = Field(9, description="numbers of pixels, k / (steps + 1) of the image for k = 1..steps")
    noise: NonNegativeFloat = Field(0.01, description="standard deviation of the noise, in [0, 1] pixel units")

    @override
    def count(self, height: int, width: int) -> int:
        if self.steps > height * width:
            raise ParameterError(
                f"road: steps={self.steps}: an image of {height} x {width} has {height * width} pixels: take fewer"
            )
        return 1 + self.steps * (2 if self.order == "combined" else 1)

    @override
    def probes(self, target: MapTarget, number: Tensor) -> Probes:
        pixels = target.maps[0].numel()
        ranks = removal_ranks(target.maps)
        step, last = number % (self.steps + 1) + number // (self.steps + 1), number > self.steps
        reverse = torch.full_like(last, self.order == "lerf") | last
        ranks = torch.where(reverse[:, :, None, None], pixels - 1 - ranks[:, None], ranks[:, None])
        missing = ranks < (step * pixels // (self.steps + 1))[:, :, None, None]
        filled = [
            torch.stack([impute(image, one) for one in several])
            for image, several in zip(target.images, missing, strict=True)
        ]
        shape = target.images.shape[1:]
        drawn = torch.stack([target.rng.fold(number[:, q]).normal(*shape) for q in range(number.shape[1])], 1)
        return Probes(torch.stack(filled) + self.noise * drawn.to(target.images) * missing[:, :, None])

    @override
    def finish(self, target: MapTarget, scores: Tensor, expected: Tensor) -> Tensor:
        falls = scores[:, :1] - scores[:, 1:]
        if self.order != "combined":
            return falls.mean(1) if self.order == "morf" else -falls.mean(1)
        return (falls[:, : self.steps].mean(1) - falls[:, self.steps :].mean(1)) / 2
