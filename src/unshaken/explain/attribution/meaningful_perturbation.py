"""Meaningful perturbation: the smallest blurred region that takes the class away."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.explain.engine.attribution import Attribution, AttributionMap, Score, Target, TargetScore
from unshaken.explain.engine.gradients import enlarged
from unshaken.stress.corruptions.gaussian_blur import gaussian_blur

BETA = 3
"""Power of the differences in the total variation."""
MOMENTS, TINY = (0.9, 0.999), 1e-8
"""Adam's decay rates, and what keeps it from dividing by nought."""


class Learning(State):
    """State of the search, one row a sample.

    Args:
        target: the sample and its class.
        rng: the sample's streams.
        blurred: the image behind the mask, `[N, C, H, W]`.
        mask: m, `[N, h, w]` in [0, 1]: 1 shows the image.
        first: Adam's mean of gradients, `[N, h, w]`.
        second: Adam's mean of their squares, `[N, h, w]`.
        step: int64 `[N]`: steps made.
    """

    target: Target
    rng: SampleRng
    blurred: Tensor
    mask: Tensor
    first: Tensor
    second: Tensor
    step: Tensor


def penalty(mask: Tensor, area: float, tv: float) -> Tensor:
    """`area mean |1 - m| + tv sum |differences of neighbours|^3`, one a sample `[N]`.

    Args:
        mask: `[N, h, w]`.
        area: weight of the area.
        tv: weight of the total variation.
    """
    down, across = mask.diff(dim=1), mask.diff(dim=2)
    rough = down.abs().pow(BETA).sum((1, 2)) + across.abs().pow(BETA).sum((1, 2))
    return area * (1 - mask).abs().mean((1, 2)) + tv * rough


def shifted(images: Tensor, shift: Tensor) -> Tensor:
    """Images moved down and across; at the border the nearest pixels are repeated.

    Args:
        images: `[N, C, H, W]`.
        shift: pixels, int64 `[N, 2]`.
    """
    n, (height, width) = len(images), images.shape[2:]
    rows = (torch.arange(height, device=images.device) - shift[:, :1]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) - shift[:, 1:]).clamp(0, width - 1)
    row = torch.arange(n, device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[row, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@register("meaningful-perturbation", reference="Fong & Vedaldi 2017, arXiv:1704.03296")
class MeaningfulPerturbation(Attribution[Learning]):
    """Meaningful perturbation: `1 - m` of the mask m that lowers the score by blurring little of the image.

    `min_m s_c(x m + blur(x) (1 - m)) + area mean |1 - m| + tv sum |grad m|^3` by Adam, from a mask of ones; the
    copy is shifted at random at each step. A mask as large as the image finds scattered pixels; `cells=28` with a
    larger `area`, such as 0.01, gives the smooth regions of the paper.
    """

    repeated: ClassVar[bool] = True

    score: Score = Field(
        default="probability", description="score that is lowered: logit, probability or log-probability"
    )
    steps: PositiveInt = Field(default=300, description="steps of Adam; each takes a forward and a backward pass")
    lr: PositiveFloat = Field(default=0.1, description="Adam's rate")
    cells: NonNegativeInt = Field(
        default=0, description="cells of the mask along each side; 0 for one a pixel", le=10_000
    )
    blur: PositiveFloat = Field(
        default=10 / 224, description="deviation of the blur, as a share of the image's short side", le=1
    )
    area: NonNegativeFloat = Field(default=1e-4, description="weight of the mean of |1 - m|")
    tv: NonNegativeFloat = Field(default=1e-2, description="weight of the total variation, of power 3")
    jitter: NonNegativeInt = Field(default=4, description="range of the random shift, in pixels")

    @override
    def start(self, target: Target, rng: SampleRng) -> Learning:
        images = target.images
        height, width = images.shape[2:]
        size = (self.cells, self.cells) if self.cells else (height, width)
        ones = images.new_ones(len(images), *size)
        none, blurred = torch.zeros_like(ones), gaussian_blur(images, self.blur * min(height, width))
        return Learning(target, rng, blurred, ones, none, none, torch.zeros_like(target.classes))

    def _copy(self, state: Learning, mask: Tensor) -> Tensor:
        """The image under the mask, shifted, `[N, C, H, W]`."""
        images = state.target.images
        shown = enlarged(mask, images.shape[2:])[:, None] if self.cells else mask[:, None]
        mixed = images * shown + state.blurred * (1 - shown)
        if not self.jitter:
            return mixed
        drawn = state.rng.fold("jitter").fold(state.step).integers(0, self.jitter + 1, 2)
        return shifted(mixed, drawn.to(images.device) - self.jitter // 2)

    @override
    def ask(self, state: Learning) -> Gradient:
        return Gradient(self._copy(state, state.mask), of=TargetScore(state.target.classes, self.score))

    @override
    def tell(self, state: Learning, answer: Answer) -> Learning:
        with torch.enable_grad():
            mask = state.mask.detach().requires_grad_(True)
            fall = (self._copy(state, mask) * required(answer.gradient)).sum()
            (slope,) = torch.autograd.grad(fall + penalty(mask, self.area, self.tv).sum(), mask)
        keep, spread = MOMENTS
        first = keep * state.first + (1 - keep) * slope
        second = spread * state.second + (1 - spread) * slope.square()
        step = widen((state.step + 1)[:, None, None])
        mean, square = (first / (1 - keep**step)).float(), (second / (1 - spread**step)).float()
        mask = (state.mask - self.lr * mean / (square.sqrt() + TINY)).clamp(0, 1)
        return state.replace(mask=mask, first=first, second=second, step=state.step + 1)

    @override
    def done(self, state: Learning) -> Tensor:
        return state.step >= self.steps

    @override
    def result(self, state: Learning) -> AttributionMap:
        return AttributionMap(enlarged(1 - state.mask, state.target.images.shape[2:]))
