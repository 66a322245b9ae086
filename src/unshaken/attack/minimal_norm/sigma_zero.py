"""sigma-zero: descent on a smooth count of the changed values, of which the smallest are set back at each step."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.adam import Adam
from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.losses import Margin
from unshaken.attack.engine.problem import Problem
from unshaken.attack.minimal_norm._nearest import Nearest, cosine, is_fooled, length
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State


def smooth_count_slope(delta: Tensor, sigma: float) -> Tensor:
    """The gradient of the smooth l0 norm `sum_i d_i^2 / (d_i^2 + sigma)`: `2 sigma d_i / (d_i^2 + sigma)^2`.

    Args:
        delta: the change, of any shape.
        sigma: above 0; at 0 it would be the count itself.

    >>> smooth_count_slope(torch.tensor([0.0, 1.0]), 1.0).tolist()
    [0.0, 0.5]
    """
    return 2 * sigma * delta / (delta.square() + sigma).square()


class SigmaZeroState(State):
    """State of the search, one row per sample.

    Args:
        problem: its task.
        x: the current point.
        tau: the smallest change that is kept, `[N]`, in [0, 1] pixel units.
        adam: moments of the gradients.
        best: the example with the fewest changed values so far.
        step: steps made, int64 `[N]`.
    """

    problem: Problem
    x: Tensor
    tau: Tensor
    adam: Adam
    best: Nearest
    step: Tensor


@register("sigma-zero", reference="Cina et al. 2024, arXiv:2402.01879", title="σ-zero")
class SigmaZero(Attack[SigmaZeroState]):
    """sigma-zero: descent on the margin and a smooth count of the changed values (minimal l0, by gradients).

    With the margin L = z_y - max_{k != y} z_k, d values in an image and `delta = x - x_0`, the gradient g of
    `max(L, 0) + sum delta^2 / (delta^2 + sigma) / d`, over its largest entry, is followed by Adam at the rate eta,
    clipped to [0, 1]. Then tau rises by `threshold_rate eta` where the point fooled and else falls by as much, and
    changes below tau are set to 0. eta falls from `lr` to a tenth of it along a cosine. A value is one
    channel of a pixel.
    """

    norms: ClassVar[tuple[str, ...]] = ("l0",)
    minimal: ClassVar[bool] = True
    reads_clean: ClassVar[bool] = False

    steps: PositiveInt = Field(default=100, description="gradient steps; the publication makes 1000")
    lr: PositiveFloat = Field(default=1.0, description="first rate of Adam, in [0, 1] pixel units")
    sigma: PositiveFloat = Field(
        default=1e-3, description="smoothness of the count; near 0 it is the number of changes"
    )
    threshold: float = Field(
        default=0.3, description="smallest change kept at first, in [0, 1] pixel units", ge=0, le=1
    )
    threshold_rate: PositiveFloat = Field(
        default=0.01, description="change of the threshold at each step, times the rate"
    )

    @override
    def start(self, problem: Problem, rng: SampleRng) -> SigmaZeroState:
        clean = problem.ball.clean
        tau = torch.full_like(clean[:, 0, 0, 0], self.threshold)
        none = torch.zeros_like(problem.labels)
        return SigmaZeroState(problem, clean, tau, Adam.of(clean), Nearest.none(problem), none)

    @override
    def ask(self, state: SigmaZeroState) -> Gradient:
        return Gradient(state.x, of=Margin(state.problem.labels, state.problem.targeted))

    @override
    def tell(self, state: SigmaZeroState, answer: Answer) -> SigmaZeroState:
        clean = state.problem.ball.clean
        delta = state.x - clean
        fooled = is_fooled(state.problem, required(answer.logits))
        best = state.best.add(state.x, length(delta, "l0"), fooled)
        up = required(answer.gradient).masked_fill(_wide(fooled), 0.0)
        up = up - smooth_count_slope(delta, self.sigma) / delta[0].numel()
        adam, step = state.adam.add(up / _wide(length(up, "linf").clamp_min(1e-12))), state.step + 1
        eta, after = (cosine(s, self.steps, self.lr, self.lr / 10) for s in (state.step, step))
        delta = (clean + delta + _wide(eta) * adam.direction(step)).clamp_(0, 1) - clean
        move = self.threshold_rate * after
        tau = (state.tau + torch.where(fooled, move, -move)).clamp_(0, 1)
        x = torch.where(delta.abs() < _wide(tau), clean, (clean + delta).clamp_(0, 1))
        return state.replace(x=x, tau=tau, adam=adam, best=best, step=step)

    @override
    def done(self, state: SigmaZeroState) -> Tensor:
        return state.step >= self.steps

    @override
    def result(self, state: SigmaZeroState) -> Candidate:
        return Candidate(torch.where(_wide(state.best.found), state.best.x, state.x))

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        return self.steps, self.steps


def _wide(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
