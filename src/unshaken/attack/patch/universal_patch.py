"""Universal patch: one patch for all images, wherever it is stuck."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, PrivateAttr, model_validator
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.attack_run import AttackContext, Phase
from unshaken.attack.engine.ball import Ball
from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.losses import CrossEntropy
from unshaken.attack.engine.problem import Problem
from unshaken.core.batch import Batch
from unshaken.core.boxes import boxed
from unshaken.core.errors import ParameterError
from unshaken.core.flag import Flag
from unshaken.core.oracle import Oracle, required
from unshaken.core.query import Answer, Gradient, Logits
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

SHARPNESS = 40


class Overlay(State):
    """Where a patch lies on each image, in pixels.

    Args:
        row: `[N]`, of the centre, 0 at the upper border.
        column: `[N]`, of the centre, 0 at the left border.
        side: `[N]`, of the patch.
        angle: `[N]`, in radians.
        round: whether the mask is a disc, `1 - (u^2 + v^2)^40`, or the whole square.
    """

    row: Tensor
    column: Tensor
    side: Tensor
    angle: Tensor
    round: bool

    def coordinates(self, height: int, width: int) -> Tensor:
        """Each pixel's place (u, v) on the patch, which spans [-1, 1]: `[N, H, W, 2]`."""
        y = torch.arange(height, device=self.row.device)[None] + 0.5 - self.row[:, None]
        x = torch.arange(width, device=self.row.device)[None] + 0.5 - self.column[:, None]
        turn = 2 / self.side[:, None, None]
        cos, sin = (f(self.angle)[:, None, None] * turn for f in (torch.cos, torch.sin))
        y, x = y[:, :, None], x[:, None, :]
        return torch.stack([x * cos + y * sin, y * cos - x * sin], 3)

    def mask(self, at: Tensor) -> Tensor:
        """Share of the patch that is visible, from `coordinates`, in [0, 1]: `[N, 1, H, W]`."""
        whole = (at.abs() <= 1).all(3)
        if not self.round:
            return whole[:, None].float()
        disc = (1 - at.square().sum(3).clamp(max=2) ** SHARPNESS).clamp(0, 1)
        return (disc * whole)[:, None]

    def paste(self, images: Tensor, patch: Tensor) -> tuple[Tensor, Tensor]:
        """Images with the patch, `x (1 - m) + p m`, and the mask m.

        Args:
            images: `[N, C, H, W]` in [0, 1].
            patch: `[C, S, S]` in [0, 1].

        Returns:
            The images in the same shape, unchanged to the bit where the mask is 0, and `[N, 1, H, W]`.
        """
        at = self.coordinates(*images.shape[2:])
        m = self.mask(at)
        laid = F.grid_sample(
            patch.expand(len(images), -1, -1, -1), at, mode="bilinear", padding_mode="border", align_corners=False
        )
        return boxed(images * (1 - m) + laid * m), m


@dataclass(slots=True)
class SharedPatch:
    """The trained patch that the phases of one attack share.

    Args:
        seed: the run seed.
        reference: the run's first samples; None outside a run.
        patch: once it is fitted.
    """

    seed: int = 0
    reference: Batch | None = None
    patch: Tensor | None = None


class UniversalPatchState(State):
    """One row a sample: the image with the patch."""

    x: Tensor


@register("universal-patch", reference="Brown et al. 2017, arXiv:1712.09665")
class UniversalPatch(Attack[UniversalPatchState]):
    """Universal patch: one adversarial patch for all images, wherever it is placed, fitted by Adam.

    The patch is fitted on the run's first samples (outside a run on the samples themselves) and then stuck on each
    sample at a place, angle and scale of its own. It depends on the seed and those first samples alone. All samples
    share its gradients, so it cannot be asked for sample by sample: it is fitted before the search, through the same
    oracle, and its passes are shared evenly among the samples.
    """

    norms: ClassVar[tuple[str, ...]] = ()

    mask: Literal["circle", "square"] = Field(default="circle", description="the patch's outline")
    place: Literal["random", "fixed"] = Field(
        default="random", description="random place for each image, or upright at a fixed place"
    )
    row: NonNegativeInt = Field(default=0, description="upper row of the patch in pixels, where fixed")
    column: NonNegativeInt = Field(default=0, description="left column of the patch in pixels, where fixed")
    rotation: float = Field(default=22.5, ge=0, le=180, description="largest angle either way, in degrees")
    scale_min: float = Field(
        default=0.1, gt=0, le=1, description="smallest side of the patch, as a share of the short side"
    )
    scale_max: float = Field(default=1.0, gt=0, le=1, description="largest side, as a share; the one of a fixed patch")
    steps: PositiveInt = Field(default=500, description="steps of Adam")
    lr: PositiveFloat = Field(default=0.02, description="learning rate of Adam, in [0, 1] pixel units")
    batch_size: PositiveInt = Field(default=16, description="number of images per step, each with a random placement")
    restarts: PositiveInt = Field(default=1, description="number of placements to try per sample")
    _shared: SharedPatch = PrivateAttr(default_factory=SharedPatch)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.scale_min > self.scale_max:
            raise ValueError(f"scale_min={self.scale_min} is above scale_max={self.scale_max}")
        return self

    @override
    def prepare(self, oracle: Oracle, batch: Batch, targeted: bool) -> Self:
        shared, labels = self._shared, required(batch.labels)
        if shared.patch is not None:
            return self
        reference = batch if shared.reference is None else shared.reference.to(batch.images.device)
        aims = required(reference.labels)
        if targeted:
            if bool((labels != labels[0]).any()):
                raise ParameterError("universal-patch: one patch has one target; give the same target for all samples")
            aims = labels[:1].expand(len(reference))
        order = torch.tensor(sorted(range(len(reference)), key=lambda i: reference.ids[i]), device=aims.device)
        shared.patch = self.fit(oracle, reference.images[order].float(), aims[order], targeted, shared.seed)
        return self

    def fit(self, oracle: Oracle, images: Tensor, aims: Tensor, targeted: bool, seed: int) -> Tensor:
        """Train the patch.

        Args:
            oracle: runs the model and counts its passes.
            images: `[N, C, H, W]` in [0, 1].
            aims: int64 `[N]`: labels to leave, or targets to reach.
            targeted: which of the two.
            seed: of placements and order.

        Returns:
            `[C, S, S]` in [0, 1]; S is the largest side in pixels.
        """
        height, width = images.shape[2:]
        rng = SampleRng.of(seed, "universal-patch/fit", ("patch",)).to(images.device)
        order = rng.fold("order").fresh(len(images))[0].argsort(stable=True)
        side = self._side(height, width)
        patch = torch.full((images.shape[1], side, side), 0.5, device=images.device, requires_grad=True)
        adam = torch.optim.Adam([patch], lr=self.lr)
        for step in range(self.steps):
            rows = order[(torch.arange(self.batch_size, device=order.device) + step * self.batch_size) % len(order)]
            draws = rng.fold("place").fold(step).fresh(4 * self.batch_size).view(self.batch_size, 4)
            with torch.enable_grad():
                stuck, _ = self.placement(draws, height, width).paste(images[rows], patch)
            loss = CrossEntropy(aims[rows], -1 if targeted else 1)
            slope = required(oracle.ask(Gradient(stuck.detach(), of=loss)).gradient)
            (patch.grad,) = torch.autograd.grad(stuck, patch, grad_outputs=-slope / self.batch_size)
            adam.step()
            with torch.no_grad():
                patch.clamp_(0, 1)
        return patch.detach()

    def placement(self, draws: Tensor, height: int, width: int) -> Overlay:
        """Where the patch lies, from four uniform draws an image: row, column, scale and angle.

        Args:
            draws: `[N, 4]` in [0, 1).
            height: of the images in pixels.
            width: of the images in pixels.

        Raises:
            ParameterError: a fixed patch does not fit into the images.
        """
        one = torch.ones_like(draws[:, 0])
        if self.place == "fixed":
            pixels = self._side(height, width)
            if self.row + pixels > height or self.column + pixels > width:
                raise ParameterError(
                    f"universal-patch: a patch of {pixels} pixels at row {self.row}, column {self.column} does not fit "
                    f"into images of {height} x {width}"
                )
            row, column = one * (self.row + pixels / 2), one * (self.column + pixels / 2)
            return Overlay(row, column, one * pixels, 0 * one, self.mask == "circle")
        side = min(height, width) * (self.scale_min + (self.scale_max - self.scale_min) * draws[:, 2])
        angle = math.radians(self.rotation) * (2 * draws[:, 3] - 1)
        row, column = (side / 2 + (room - side) * draws[:, i] for i, room in enumerate((height, width)))
        return Overlay(row, column, side, angle, self.mask == "circle")

    @override
    def ball(self, clean: Tensor, eps: Tensor, norm: str, rng: SampleRng) -> Ball:
        return Ball.region(clean, self._stuck(clean, rng)[1] > 0)

    @override
    def start(self, problem: Problem, rng: SampleRng) -> UniversalPatchState:
        return UniversalPatchState(self._stuck(problem.ball.clean, rng)[0])

    @override
    def ask(self, state: UniversalPatchState) -> Logits:
        return Logits(state.x)

    @override
    def tell(self, state: UniversalPatchState, answer: Answer) -> UniversalPatchState:
        return state

    @override
    def done(self, state: UniversalPatchState) -> Tensor:
        return torch.ones(len(state.x), dtype=torch.bool, device=state.x.device)

    @override
    def result(self, state: UniversalPatchState) -> Candidate:
        return Candidate(state.x)

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        return 0, 0

    @property
    @override
    def runs(self) -> int:
        return self.restarts

    @override
    def phases(self, context: AttackContext) -> tuple[Sequence[Phase], Sequence[Flag]]:
        copy = self.model_copy()
        copy._shared = SharedPatch(context.seed, context.reference)
        name = self.info.name
        return [Phase(copy, name if r == 0 else f"{name}+{r + 1}", restart=r) for r in range(self.runs)], []

    def _side(self, height: int, width: int) -> int:
        return max(1, round(self.scale_max * min(height, width)))

    def _stuck(self, images: Tensor, rng: SampleRng) -> tuple[Tensor, Tensor]:
        if self._shared.patch is None:
            raise ParameterError("universal-patch: it is fitted by attack(), not searched for one sample at a time")
        placement = self.placement(rng.fold("place").fresh(4), *images.shape[2:])
        with torch.no_grad():
            return placement.paste(images, self._shared.patch)
