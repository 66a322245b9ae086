"""Occlusion: how much the score falls where a patch covers the image."""

from __future__ import annotations

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.attribution import Target
from unshaken.explain.engine.masked import MaskedScores, Masking


@register("occlusion", reference="Zeiler & Fergus 2014, arXiv:1311.2901")
class Occlusion(MaskedScores):
    """Occlusion: for each pixel the mean fall of the score, `s(x) - s(covered)`, over the patches that cover it.

    Patches stand at every `stride` pixels inside the image, and one more at each far border where they do not reach it.
    The first copy is the image itself.
    """

    patch: float = Field(default=0.2, gt=0, le=1, description="side of the patch, as a share of the image's short side")
    stride: NonNegativeInt = Field(
        default=0, description="pixels from a patch to the next; 0 for a quarter of its side"
    )

    def _places(self, height: int, width: int) -> tuple[int, Tensor, Tensor]:
        """The side of a patch, and the rows and columns where patches begin."""
        side = max(1, round(self.patch * min(height, width)))
        stride = self.stride or max(1, side // 4)
        rows, columns = (sorted({*range(0, n - side + 1, stride), n - side}) for n in (height, width))
        return side, torch.tensor(rows), torch.tensor(columns)

    @override
    def count(self, height: int, width: int) -> int:
        _, rows, columns = self._places(height, width)
        return 1 + len(rows) * len(columns)

    @override
    def masks(self, target: Target, number: Tensor, rng: SampleRng) -> Tensor:
        height, width = target.images.shape[2:]
        side, rows, columns = self._places(height, width)
        place = (number - 1).clamp(min=0).cpu()
        top, left = rows[place // len(columns)], columns[place % len(columns)]
        down = _within(torch.arange(height), top, side)[..., :, None]
        across = _within(torch.arange(width), left, side)[..., None, :]
        covered = (down & across & (number > 0).cpu()[..., None, None]).to(target.images)
        return 1 - covered

    @override
    def spread(self, masks: Tensor) -> Tensor:
        return 1 - masks

    @override
    def finish(self, state: Masking, count: int) -> Tensor:
        mean = state.total / state.weight.clamp(min=1)
        return torch.where(state.weight > 0, state.first[:, None, None] - mean, 0.0)


def _within(line: Tensor, start: Tensor, side: int) -> Tensor:
    """Whether each place of a line is covered, `[N, Q, L]`."""
    return (line >= start[..., None]) & (line < start[..., None] + side)
