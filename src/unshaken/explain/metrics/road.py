"""ROAD: removal of pixels, the most or the least relevant first, with what their neighbours let guess put in."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.registry import register
from unshaken.explain.engine.probed_metric import MapTarget, ProbedMetric, Probes, removal_ranks

DIRECT, DIAGONAL = 1 / 6, 1 / 12
"""Weights of a pixel's neighbours."""


def impute(image: Tensor, missing: Tensor) -> Tensor:
    """Fill pixels so that each is the weighted mean of its neighbours: one sparse system for all of them.

    A direct neighbour weighs 1/6, a diagonal one 1/12; those of a pixel at the border, which has fewer, are scaled up.
    Where every pixel is missing, all become 0.

    Args:
        image: float `[C, H, W]`.
        missing: bool `[H, W]`.

    Returns:
        `[C, H, W]`.

    Source: Rong et al. 2022, arXiv:2202.00449.
    """
    gone = missing.flatten().cpu().numpy()
    if gone.all() or not gone.any():
        return torch.zeros_like(image) if gone.all() else image
    weights = _neighbours(*missing.shape)
    pixels = image.flatten(1).cpu().double().numpy()
    inner, outer = weights[gone][:, gone], weights[gone][:, ~gone]
    total = np.asarray(weights[gone].sum(1)).ravel()
    system = scipy.sparse.csc_array(scipy.sparse.diags_array(total) - inner)
    pixels[:, gone] = scipy.sparse.linalg.splu(system).solve(outer @ pixels[:, ~gone].T).T
    return torch.from_numpy(pixels).view_as(image).to(image)


@lru_cache(maxsize=4)
def _neighbours(height: int, width: int) -> scipy.sparse.csr_array:
    """The weights of each pixel's neighbours, `[H W, H W]`."""
    place: NDArray[np.int64] = np.arange(height * width).reshape(height, width)
    rows, columns, values = [], [], []
    for down, across, weight in ((0, 1, DIRECT), (1, 0, DIRECT), (1, 1, DIAGONAL), (1, -1, DIAGONAL)):
        one = place[: height - down, max(0, -across) : width - max(0, across)].ravel()
        other = place[down:, max(0, across) : width + min(0, across)].ravel()
        rows += [one, other]
        columns += [other, one]
        values.append(np.full(2 * len(one), weight))
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return scipy.sparse.csr_array(entries, shape=(height * width, height * width))


@register("road", reference="Rong et al. 2022, arXiv:2202.00449", group="metric")
class ROAD(ProbedMetric):
    """ROAD: how far the class's probability falls while pixels are replaced by noisy linear imputation.

    Removed pixels become the weighted mean of their neighbours, plus noise: little shows where something was. Higher is
    better in each order: `morf` is the mean fall with the most relevant pixels removed first, `lerf` minus that with
    the least relevant first, `combined` half their sum, in [-1, 1] for probabilities, and about 0 for a random map.
    """

    order: Literal["combined", "morf", "lerf"] = Field(default="combined", description="combined, morf or lerf")
    steps: PositiveInt = Field(
        default=9, description="numbers of pixels, k / (steps + 1) of the image for k = 1..steps"
    )
    sigma: NonNegativeFloat = Field(default=0.01, description="deviation of the noise, in [0, 1] pixel units")

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
        return Probes(torch.stack(filled) + self.sigma * drawn.to(target.images) * missing[:, :, None])

    @override
    def finish(self, target: MapTarget, scores: Tensor, expected: Tensor) -> Tensor:
        falls = scores[:, :1] - scores[:, 1:]
        if self.order != "combined":
            return falls.mean(1) if self.order == "morf" else -falls.mean(1)
        return (falls[:, : self.steps].mean(1) - falls[:, self.steps :].mean(1)) / 2
