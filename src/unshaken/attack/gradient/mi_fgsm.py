"""MI-FGSM: sign steps along an accumulated gradient, and the four changes that make its examples transfer further."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.ball import ORDERS
from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.problem import Problem
from unshaken.attack.engine.step_length import StepLength
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State


def accumulated(momentum: Tensor, gradient: Tensor, mu: float) -> Tensor:
    """`g_{t+1} = mu g_t + grad / |grad|_1`, sample by sample.

    Args:
        momentum: g_t `[N, C, H, W]`.
        gradient: of the loss, as `momentum`.
        mu: decay factor.
    """
    length = gradient.flatten(1).abs().sum(1).clamp_min(1e-30).view(-1, 1, 1, 1)
    return mu * momentum + gradient / length


def gaussian_kernel(size: int) -> Tensor:
    """The kernel of TI: a normal density from -3 to 3 standard deviations at `size` points a side, sum 1.

    Args:
        size: an odd number of pixels; 1 is no change.

    Returns:
        float64 `[size, size]`.

    >>> gaussian_kernel(3)[1].tolist()[1] > 0.97
    True
    """
    if size == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    side = (-torch.linspace(-3, 3, size, dtype=torch.float64).square() / 2).exp()
    kernel = torch.outer(side, side)
    return kernel / kernel.sum()


def smooth(gradient: Tensor, size: int) -> Tensor:
    """Convolve each channel with `gaussian_kernel(size)`, with zeros beyond the border.

    Args:
        gradient: `[N, C, H, W]`.
        size: an odd number of pixels.
    """
    if size == 1:
        return gradient
    channels = gradient.shape[1]
    kernel = gaussian_kernel(size).to(gradient).expand(channels, 1, size, size)
    return F.conv2d(gradient, kernel, padding=size // 2, groups=channels)


def shrink(images: Tensor, sizes: Tensor, places: Tensor) -> Tensor:
    """Shrink images to some sizes by bilinear interpolation, and set them into zeros of the size of before.

    Args:
        images: `[N, C, H, W]`.
        sizes: height and width in pixels, int64 `[N, 2]`, at most those of the images.
        places: rows above and columns left of it, int64 `[N, 2]`.
    """
    whole = torch.tensor(images.shape[2:], device=images.device)
    grids = []
    for axis in (0, 1):
        pixel = torch.arange(int(whole[axis]), device=images.device, dtype=torch.float64) + 0.5
        inside = (pixel - places[:, axis : axis + 1]) / sizes[:, axis : axis + 1]  # share of the shrunk side
        grids.append((2 * inside - 1).to(images))
    y, x = grids[0][:, :, None], grids[1][:, None, :]
    shape = len(images), *images.shape[2:]
    grid = torch.stack([x.expand(shape), y.expand(shape)], 3)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


class MIFGSMState(State):
    """State of the search, one row per sample.

    Args:
        problem: its task.
        rng: for shrunk copies and neighbours.
        x: the current point.
        momentum: the accumulated gradient.
        step: steps made.
        copy: gradients of the current step so far.
        gradient: their mean at the point itself.
        around: their mean at its neighbours.
        variance: `around - gradient` of the step before.
    """

    problem: Problem
    rng: SampleRng
    x: Tensor
    momentum: Tensor
    step: Tensor
    copy: Tensor
    gradient: Tensor
    around: Tensor
    variance: Tensor


@register("mi-fgsm", title="MI FGSM", reference="Dong et al. 2018, arXiv:1710.06081")
class MIFGSM(StepLength, Attack[MIFGSMState]):
    """MI-FGSM: sign steps along an accumulated gradient, `g <- mu g + grad / |grad|_1`, `x <- P(x + a s(g))`.

    The accumulator holds gradients of unit l1 norm, not their signs: small components can win over time. Four changes
    of the gradient, alone or together, make examples fool other models (as `search` of `transfer`):

    - `diversity`, DI (arXiv:1803.06978): with this probability at a copy that is shrunk and set into zeros at random;
    - `kernel`, TI (arXiv:1904.02884): smoothed by a Gaussian kernel, as if averaged over shifted images;
    - `scales`, SI (arXiv:1908.06281): averaged over m copies `x / 2^i`;
    - `neighbours`, VT (arXiv:2103.15571): with `v` added, by which the gradient averaged over random neighbours of the
      last point differed from that at the point.
    """

    reads_clean: ClassVar[bool] = False

    steps: PositiveInt = Field(default=10, description="gradient steps T")
    rel_stepsize: PositiveFloat = Field(
        default=0.1, description="length a of a step, as a share of eps; the paper's is 1/T"
    )
    mu: NonNegativeFloat = Field(default=1.0, description="decay factor of the accumulated gradient; 0 is plain ascent")
    diversity: float = Field(default=0.0, description="DI: probability of a shrunk copy; 0.5 is usual", ge=0, le=1)
    smallest: float = Field(default=0.9, description="DI: least side of a shrunk copy, as a share", gt=0, lt=1)
    kernel: PositiveInt = Field(
        default=1, description="TI: side of the Gaussian kernel in pixels, odd; 7 to 15 for photos, 1 for none"
    )
    scales: int = Field(default=1, description="SI: number m of copies of halved brightness; 5 is usual", ge=1, le=20)
    neighbours: NonNegativeInt = Field(default=0, description="VT: number of neighbours; 20 is usual, 0 for none")
    beta: PositiveFloat = Field(
        default=1.5, description="VT: distance of neighbours as a multiple of eps (per value of the image in l2 and l1)"
    )

    @field_validator("kernel")
    @classmethod
    def _is_odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"give an odd number, such as {value + 1}")
        return value

    @property
    @override
    def stops_at_success(self) -> bool:
        return not self.diversity and self.scales == 1 and not self.neighbours  # else other points are queried

    @override
    def start(self, problem: Problem, rng: SampleRng) -> MIFGSMState:
        clean = problem.ball.clean
        none, zero = torch.zeros_like(clean), torch.zeros(len(problem), dtype=torch.int64, device=clean.device)
        return MIFGSMState(problem, rng, clean, none, zero, zero, none, none, none)

    @override
    def ask(self, state: MIFGSMState) -> Gradient:
        x = state.x
        if self.neighbours:
            x = torch.where(wide(state.copy < self.scales), x, x + self._away(state))
        if self.scales > 1:
            x = x * self._brightness(state)
        return Gradient(self._shrunk(state, x) if self.diversity else x, of=state.problem.loss)

    @override
    def tell(self, state: MIFGSMState, answer: Answer) -> MIFGSMState:
        one = required(answer.gradient)
        if self.diversity:  # the gradient by x of a loss at a copy T x is T' times that by the copy
            with torch.enable_grad():
                zero = torch.zeros_like(one, requires_grad=True)
                (one,) = torch.autograd.grad(self._shrunk(state, zero), zero, one)
        if self.scales > 1:
            one = one * self._brightness(state) / self.scales
        own = wide(state.copy < self.scales)
        gradient = torch.where(own, state.gradient + one, state.gradient)
        around = torch.where(own, state.around, state.around + one / max(1, self.neighbours))
        copy = state.copy + 1
        last = copy == self.scales * (1 + self.neighbours)
        ball, over = state.problem.ball, wide(last)
        momentum = accumulated(state.momentum, smooth(gradient + state.variance, self.kernel), self.mu)
        x = ball.project(state.x + self.step_length(ball) * ball.steepest(momentum, state.x))
        variance = around - gradient if self.neighbours else state.variance
        return state.replace(
            x=torch.where(over, x, state.x),
            momentum=torch.where(over, momentum, state.momentum),
            step=state.step + last.to(state.step),
            copy=copy.masked_fill(last, 0),
            gradient=gradient.masked_fill(over, 0),
            around=around.masked_fill(over, 0),
            variance=torch.where(over, variance, state.variance),
        )

    def _draws(self, state: MIFGSMState, use: str) -> SampleRng:
        """The streams of the current step and copy."""
        return state.rng.fold(use).fold(state.step * self.scales * (1 + self.neighbours) + state.copy)

    def _brightness(self, state: MIFGSMState) -> Tensor:
        """`2^-i` of the current copy."""
        return wide(0.5 ** (state.copy % self.scales).to(state.x.dtype))

    def _away(self, state: MIFGSMState) -> Tensor:
        """A draw from the cube around the point; all copies of one neighbour have the same."""
        ball, shape = state.problem.ball, state.x.shape[1:]
        number = state.step * (1 + self.neighbours) + state.copy // self.scales
        drawn = state.rng.fold("neighbour").fold(number).uniform(*shape, low=-1, high=1).to(state.x)
        side: Tensor = self.beta * ball.radius * shape.numel() ** (-1 / ORDERS[ball.norm])
        return side * drawn

    def _shrunk(self, state: MIFGSMState, x: Tensor) -> Tensor:
        """Images `[N, C, H, W]`, some shrunk, as the current step and copy draw it."""
        u = self._draws(state, "shrink").uniform(4).to(x.device)
        whole = torch.tensor(x.shape[2:], device=x.device)
        least = (self.smallest * whole).floor().clamp_min(1)
        sizes = (least + u[:, 1:2] * (whole - least + 1)).long().clamp(max=whole)
        sizes = torch.where(u[:, :1] < self.diversity, sizes, whole)
        places = (u[:, 2:] * (whole - sizes + 1)).long().minimum(whole - sizes)
        return shrink(x, sizes, places)

    @override
    def done(self, state: MIFGSMState) -> Tensor:
        return state.step >= self.steps

    @override
    def result(self, state: MIFGSMState) -> Candidate:
        return Candidate(state.x)

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        gradients = self.steps * self.scales * (1 + self.neighbours)
        return gradients, gradients


def wide(values: Tensor) -> Tensor:
    """Values `[N]` in a shape that broadcasts over images."""
    return values.view(-1, 1, 1, 1)
