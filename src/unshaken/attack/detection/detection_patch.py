"""Adversarial patch against a detector: some pixels are free, all others stay."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.detection.base import DetectionAttack, DetectionProblem, DetectionState
from unshaken.attack.detection.detection_pgd import SoftF1Loss
from unshaken.attack.engine.ball import Ball
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.patch.patch_corruption import cell_masks, cell_side


@register("detection-patch", reference="Lee & Kolter 2019, arXiv:1906.11897")
class DetectionPatch(DetectionAttack):
    """Detection patch: signed gradient ascent on the pixels of a patch, which need not cover an object.

    Its place is drawn for each sample, a cell of a grid or several; the loss is that of `detection-pgd`.
    """

    norms: ClassVar[tuple[str, ...]] = ()

    steps: PositiveInt = Field(default=50, description="gradient steps")
    step_size: PositiveFloat = Field(default=0.1, description="length of a step, in [0, 1] pixel units")
    size: PositiveInt | None = Field(
        default=None, description="side of a cell in pixels; default an eighth of the short side"
    )
    cells: PositiveInt = Field(default=1, description="number of cells to attack")

    @override
    def objective(self, problem: DetectionProblem) -> SoftF1Loss:
        return SoftF1Loss(problem.objects)

    @override
    def ball(self, clean: Tensor, eps: Tensor, norm: str, rng: SampleRng) -> Ball:
        height, width = clean.shape[2:]
        mask = cell_masks(rng, height, width, side=cell_side(self.size, height, width), cells=self.cells)
        return Ball.region(clean, mask.to(clean.device))

    @override
    def move(self, state: DetectionState, gradient: Tensor) -> Tensor:
        ball = state.problem.ball
        return ball.project(state.x + self.step_size * ball.steepest(gradient, state.x))
