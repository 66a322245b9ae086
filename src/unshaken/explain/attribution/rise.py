"""RISE: the mean of random masks, weighted by the scores of what they leave."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.attribution import Target
from unshaken.explain.engine.masked import MaskedScores, Masking


@register("rise", reference="Petsiuk et al. 2018, arXiv:1806.07421")
class RISE(MaskedScores):
    """RISE: `sum_i p_c(x * M_i) M_i / (N p)` over random smooth masks.

    A mask is a grid of `cells x cells` places, each kept with probability `keep`, enlarged bilinearly to one cell more
    than the image and cut at a random place. A sample's masks come from its own streams.
    """

    samples: PositiveInt = Field(default=1000, description="number of masks; the paper takes 4,000 to 8,000")
    cells: int = Field(default=7, ge=2, le=1000, description="cells of the grid along each side")
    keep: float = Field(default=0.5, gt=0, le=1, description="probability p that a cell is kept")

    @override
    def count(self, height: int, width: int) -> int:
        return self.samples

    @override
    def masks(self, target: Target, number: Tensor, rng: SampleRng) -> Tensor:
        height, width = target.images.shape[2:]
        return self._masks(rng.each(number), height, width).view(*number.shape, height, width).to(target.images)

    def _masks(self, rng: SampleRng, height: int, width: int) -> Tensor:
        """One mask a stream, `[M, H, W]`."""
        n, tall, wide = len(rng.keys), -(-height // self.cells), -(-width // self.cells)
        drawn = rng.fresh(self.cells**2 + 2)
        grid = (drawn[:, :-2] < self.keep).float().view(n, 1, self.cells, self.cells)
        large = F.interpolate(grid, ((self.cells + 1) * tall, (self.cells + 1) * wide), mode="bilinear")[:, 0]
        rows = (drawn[:, -2] * tall).long()[:, None] + torch.arange(height, device=drawn.device)
        columns = (drawn[:, -1] * wide).long()[:, None] + torch.arange(width, device=drawn.device)
        return large[torch.arange(n, device=drawn.device)[:, None, None], rows[:, :, None], columns[:, None, :]]

    @override
    def finish(self, state: Masking, count: int) -> Tensor:
        return state.total / (count * self.keep)
