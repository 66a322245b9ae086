"""DeepFool: steps to the nearest boundary of the linearised network."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.base import Attack, Candidate
from unshaken.attack.engine.losses import Margin
from unshaken.attack.engine.problem import Problem
from unshaken.core.classifier import predict
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient, Query, Slopes
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

STABILITY = 1e-4
"""Added to the distance of each step, in [0, 1] pixel units, so that steps do not fade out before a boundary."""


class DeepFoolState(State):
    """State of the search, one row per sample.

    Args:
        problem: its task.
        x: the current point, overshoot included, clipped to [0, 1].
        total: the sum r of the steps, without overshoot.
        classes: the candidates k, int64 `[N, Q]`.
        step: steps made.
        fooled: whether x is of another class than the label, or of the target.
    """

    problem: Problem
    x: Tensor
    total: Tensor
    classes: Tensor
    step: Tensor
    fooled: Tensor


@register("deepfool", title="DeepFool", reference="Moosavi-Dezfooli et al. 2016, arXiv:1511.04599")
class DeepFool(Attack[DeepFoolState]):
    """DeepFool: steps to the nearest boundary of the linearised network until the class changes (minimal norm).

    With `w_k` the gradient of `f_k = z_k - z_y` at the current point, the class l of least `|f_k| / |w_k|_dual` is
    taken and r grows by the least move that brings `f_l` to zero: `|f_l| w_l / |w_l|_2^2` in l2,
    `|f_l| sign(w_l) / |w_l|_1` in linf. The next point is `clip(x_0 + (1 + overshoot) r)`.

    Towards a target t there is one candidate: f is `z_t - max_{k != t} z_k`, the lead that the target lacks at the
    current point. The method was published without targets.
    """

    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")
    minimal: ClassVar[bool] = True

    steps: PositiveInt = Field(default=50, description="maximum number of steps")
    overshoot: NonNegativeFloat = Field(default=0.02, description="relative overshoot of the total step")
    candidates: int = Field(
        default=10,
        ge=2,
        description="number of likeliest classes to consider, the predicted one included",
        json_schema_extra={"most": "classes"},
    )

    @override
    def start(self, problem: Problem, rng: SampleRng) -> DeepFoolState:
        clean = problem.ball.clean
        return DeepFoolState(
            problem,
            clean,
            torch.zeros_like(clean),
            problem.rivals(self.candidates - 1),
            torch.zeros_like(problem.labels),
            torch.zeros_like(problem.labels, dtype=torch.bool),
        )

    @override
    def ask(self, state: DeepFoolState) -> Query:
        problem = state.problem
        if problem.targeted:
            return Gradient(state.x, of=Margin(problem.labels, True))
        return Slopes(state.x, problem.labels, state.classes)

    @override
    def tell(self, state: DeepFoolState, answer: Answer) -> DeepFoolState:
        problem, logits = state.problem, required(answer.logits)
        if problem.targeted:
            slopes, f = required(answer.gradient)[:, None], required(answer.value)[:, None]
        else:
            slopes = required(answer.slopes)
            f = logits.gather(1, state.classes) - logits.gather(1, problem.labels[:, None])
        fooled = (predict(logits) == problem.labels) == problem.targeted
        total = state.total + nearest_boundary(f, slopes, problem.ball.norm)
        x = (problem.ball.clean + (1 + self.overshoot) * total).clamp_(0, 1)
        wide = fooled.view(-1, 1, 1, 1)
        return state.replace(x=torch.where(wide, state.x, x), total=total, step=state.step + 1, fooled=fooled)

    @override
    def done(self, state: DeepFoolState) -> Tensor:
        return state.fooled | (state.step >= self.steps)

    @override
    def result(self, state: DeepFoolState) -> Candidate:
        return Candidate(state.x)

    @override
    def cost(self, classes: int) -> tuple[int, int]:
        return self.steps, self.steps * (min(self.candidates, classes) - 1)


def nearest_boundary(f: Tensor, slopes: Tensor, norm: str) -> Tensor:
    """The least move, `[N, C, H, W]`, to the nearest of several hyperplanes, made longer by 1e-4.

    Args:
        f: heights `[N, Q]` over the hyperplanes.
        slopes: their gradients, `[N, Q, C, H, W]`.
        norm: in which the move is least, `linf` or `l2`.

    >>> w = torch.tensor([3.0, 4.0]).view(1, 1, 1, 1, 2)
    >>> [round(v, 3) for v in nearest_boundary(torch.tensor([[-10.0]]), w, "l2").flatten().tolist()]
    [1.2, 1.6]
    """
    dual = torch.linalg.vector_norm(slopes.flatten(2), 1 if norm == "linf" else 2, dim=2).clamp_min(1e-12)
    distance, best = (f.abs() / dual).min(dim=1)
    rows = torch.arange(len(best), device=best.device)
    w, length = slopes[rows, best], distance + STABILITY
    direction, share = (w.sign(), length) if norm == "linf" else (w, length / dual[rows, best])
    move: Tensor = direction * share.view(-1, 1, 1, 1)
    return move
