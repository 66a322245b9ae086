"""An attack on a mixture that also spends a share of its effort on the gate: that it be taken for a clean image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.attack.engine.loss_choice import choose_loss
from unshaken.attack.engine.losses import Difference, dlr_targeted
from unshaken.attack.engine.problem import Problem
from unshaken.attack.gradient.pgd import PGD, PGDState
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Gradient, Objective
from unshaken.core.rng import SampleRng


class TargetedOrNot(Objective):
    """The cross-entropy of the label where there is no target, else the targeted DLR (with < 4 classes: `z_t - z_y`).

    Args:
        labels: int64 `[N]`.
        targets: int64 `[N]`, -1 for none.
    """

    labels: Tensor
    targets: Tensor

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """`[N]`."""
        logits = required(answer.logits)
        plain = F.cross_entropy(logits, self.labels, reduction="none")
        targets = self.targets.clamp(min=0)
        if logits.shape[1] >= 4:
            pulled = dlr_targeted(logits, self.labels, targets)
        else:
            pulled = Difference(self.labels, targets)(answer)
        return torch.where(self.targets < 0, plain, pulled)


class GateLoss(Objective):
    """`(1 - w) L + w BCE(gamma, 1)`, to rise: the second term is large where the gate says "clean".

    Args:
        of: L.
        share: w in [0, 1], `[N]`.
        layer: whose output gamma is.
    """

    of: Objective
    share: Tensor
    layer: str

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """`[N]`."""
        gamma = (answer.features or {})[self.layer]
        return (1 - self.share) * self.of(answer) + self.share * F.softplus(-gamma)


class GateState(PGDState):
    """As for PGD; besides each sample's own number of steps, momentum and share of the gate."""

    velocity: Tensor
    limit: Tensor
    decay: Tensor
    share: Tensor


class GatePGD(PGD):
    """PGD on a model with a mixing network that knows of the gate: the adaptive attack.

    With `varied` each sample's strength is drawn, as in the mixing network's training: the number of steps from a
    chi-squared law of mean `steps`, steps of 5 eps / number, the momentum's decay below 0.9, the share below `share`.
    """

    share: float = Field(0.5, ge=0, le=1, description="w: weight of the gate's term; 0 is PGD")
    layer: str = Field("gate", description="name of the module whose output is gamma")
    varied: bool = Field(False, description="draw each sample's strength")

    @override
    def start(self, problem: Problem, rng: SampleRng) -> GateState:
        first = super().start(problem, rng)
        limit = torch.full_like(first.step, self.steps)
        decay = torch.zeros(len(limit), device=first.x.device)
        share = torch.full_like(decay, self.share)
        if self.varied:
            drawn = [g.chisquare(self.steps) for g in rng.fold("steps").generators()]
            limit = torch.tensor(drawn).round().clamp(min=1).long()
            decay = rng.fold("momentum").fresh(1, high=0.9)[:, 0].to(share)
            share = share * rng.fold("share").fresh(1)[:, 0].to(share)
        return GateState(problem, first.x, first.step, torch.zeros_like(first.x), limit, decay, share)

    @override
    def ask(self, state: PGDState) -> Gradient:
        of = choose_loss(state.problem, self.loss, self.tau)
        return Gradient(state.x, of=GateLoss(of, _own(state).share, self.layer), layers=(self.layer,))

    @override
    def tell(self, state: PGDState, answer: Answer) -> GateState:
        own, ball = _own(state), state.problem.ball
        gradient = required(answer.gradient)
        size = gradient.abs().flatten(1).sum(1).clamp(min=1e-30)
        velocity = _wide(own.decay, gradient) * own.velocity + gradient / _wide(size, gradient)
        length = 5 / own.limit.to(gradient) if self.varied else torch.full_like(own.decay, self.step_size)
        moved = ball.project(own.x + _wide(length, gradient) * ball.radius * ball.steepest(velocity, own.x))
        going = (own.step < own.limit).to(gradient.device)
        x = torch.where(_wide(going, gradient), moved, own.x)
        return own.replace(x=x, step=own.step + 1, velocity=velocity)

    @override
    def done(self, state: PGDState) -> Tensor:
        return state.step >= _own(state).limit


def _own(state: PGDState) -> GateState:
    if not isinstance(state, GateState):
        raise TypeError("not a state of this attack")
    return state


def _wide(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.ndim - 1))
