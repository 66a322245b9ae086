"""APGD's step in linf and l2: momentum, and a step size that is halved at checkpoints."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.attack.gradient._apgd_state import APGDState, BallSchedule
from unshaken.core.device import is_needless

MOMENTUM = 0.75
ENOUGH = 0.75
"""The share of steps that must raise the loss for the step size to stay."""
PACE = 3.0
"""How much faster than now a run may get before it is judged out of reach."""


def intervals(steps: int) -> list[int]:
    """Steps between checkpoints: 22 % of all, then 3 % fewer each time down to 6 %, each at least 1."""
    k, least, fewer = (max(1, share * steps // 100) for share in (22, 6, 3))
    found: list[int] = []
    while sum(found) + k <= steps:
        found.append(k)
        k = max(k - fewer, least)
    return found


def checkpoints(steps: int) -> list[int]:
    """After which steps the step size is looked at.

    >>> checkpoints(100)
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    return torch.tensor(intervals(steps)).cumsum(0).tolist()


def momentum_step(state: APGDState, loss: Tensor, gradient: Tensor, phases: BallSchedule) -> APGDState:
    """Told the loss and gradient at `x`: keep the best, halve where stuck, step.

    Args:
        state: before.
        loss: at `state.x`, `[N]`.
        gradient: as `state.x`.
        phases: one phase here.
    """
    first = state.t == 0
    ball = state.problem.ball
    better = first | (loss > state.loss_best)
    wide = better.view(-1, 1, 1, 1)
    x_best, g_best = torch.where(wide, state.x, state.x_best), torch.where(wide, gradient, state.g_best)
    loss_best = torch.where(better, loss, state.loss_best)
    loss_check = torch.where(first, loss, state.loss_check)
    rises = state.rises + (~first & (loss > state.loss))
    length, halved, x, g = state.length, state.halved, state.x, gradient

    interval = _interval_ending_at(phases.lengths[0], state.t)
    check = interval > 0
    if not is_needless(check):
        oscillates = rises <= ENOUGH * interval
        no_gain = ~halved & (loss_best <= loss_check)
        halve = check & (oscillates | no_gain)
        length = torch.where(halve, length / 2, length)
        back = halve.view(-1, 1, 1, 1)
        x, g = torch.where(back, x_best, x), torch.where(back, g_best, g)
        halved = torch.where(check, halve, halved)
        loss_check = torch.where(check, loss_best, loss_check)
        rises = rises.masked_fill(check, 0)

    a = torch.where(first, 1.0, MOMENTUM).view(-1, 1, 1, 1)
    u = ball.project(x + length.view(-1, 1, 1, 1) * ball.steepest(g, x))
    return state.replace(
        t=state.t + 1,
        x=ball.project(x + a * (u - x) + (1 - a) * (x - state.x_prev)),
        x_prev=x,
        x_best=x_best,
        g_best=g_best,
        loss_best=loss_best,
        loss_check=loss_check,
        loss=loss,
        rises=rises,
        halved=halved,
        length=length,
    )


def hopeless(before: APGDState, after: APGDState, phases: BallSchedule) -> Tensor:
    """Who would not raise the loss to 0 in the steps that are left, at PACE times the pace since the checkpoint before.

    Ascents slow down as they near their end, but may quicken once the step size fits: hence the factor.

    Args:
        before: the state at a checkpoint; other rows are False.
        after: the same after its step.
        phases: one phase here.

    Returns:
        Bool `[N]`.
    """
    interval = _interval_ending_at(phases.lengths[0], before.t)
    gain = after.loss_best - before.loss_check
    reach = after.loss_best + PACE * gain / interval * (phases.lengths[0] - before.t)
    return (interval > 0) & (reach < 0)


def _interval_ending_at(steps: int, t: Tensor) -> Tensor:
    """The steps since the checkpoint before where t is a checkpoint, else 0: int64 `[N]`."""
    table = torch.zeros(steps + 1, dtype=torch.int64, device=t.device)
    table[torch.tensor(checkpoints(steps), device=t.device)] = torch.tensor(intervals(steps), device=t.device)
    return table[t.clamp_max(steps)]
