"""APGD's step in l1: few coordinates at a time, fewer as the change grows sparse."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.attack.gradient._apgd_state import APGDState, BallSchedule

SPARSER = 0.95
"""A best point with fewer changed coordinates than this share of those before resets the step size."""
LESS = 1.5
"""Divides the step size otherwise, and the share of coordinates always."""
LEAST = 10.0
"""The step size never falls below eps over this."""


def sparse_step(state: APGDState, loss: Tensor, gradient: Tensor, phases: BallSchedule) -> APGDState:
    """Told the loss and gradient at `x`: keep the best, adapt share and step size, step along the top coordinates.

    Args:
        state: before.
        loss: at `state.x`, `[N]`.
        gradient: as `state.x`.
        phases: the balls.
    """
    first = state.t == 0
    ball = phases.ball(state.problem, state.phase)
    better = first | (loss > state.loss_best)
    wide = better.view(-1, 1, 1, 1)
    x_best, g_best = torch.where(wide, state.x, state.x_best), torch.where(wide, gradient, state.g_best)
    length, share, nonzero, x, g = state.length, state.share, state.nonzero, state.x, gradient

    every = torch.tensor([max(1, 4 * n // 100) for n in phases.lengths], device=state.t.device)[state.phase]
    check = ~first & (state.t % every == 0)
    if bool(check.any()):
        changed = (x_best != ball.clean).flatten(1).sum(1).to(nonzero)
        sparser = check & (changed / nonzero.clamp_min(1) < SPARSER)
        length = torch.where(check, torch.maximum(length / LESS, ball.eps / LEAST), length)
        length = torch.where(sparser, ball.eps, length)
        share = torch.where(check, changed / x[0].numel() / LESS, share)
        nonzero = torch.where(check, changed, nonzero)
        back = sparser.view(-1, 1, 1, 1)
        x, g = torch.where(back, x_best, x), torch.where(back, g_best, g)

    return state.replace(
        t=state.t + 1,
        x=ball.project(x + length.view(-1, 1, 1, 1) * top_signs(g, share)),
        x_prev=x,
        x_best=x_best,
        g_best=g_best,
        loss_best=torch.where(better, loss, state.loss_best),
        loss=loss,
        length=length,
        share=share,
        nonzero=nonzero,
    )


def top_signs(gradient: Tensor, share: Tensor) -> Tensor:
    """The signs of each gradient's largest entries, over their number: l1 norm 1.

    Args:
        gradient: `[N, C, H, W]`.
        share: of the entries that count, `[N]`; at least one does.
    """
    size = gradient.flatten(1).abs()
    keep = (share * size.shape[1]).long().clamp(1, size.shape[1])
    falling = size.sort(dim=1, descending=True).values
    least = falling.gather(1, keep[:, None] - 1)
    chosen = (size >= least) & (size > 0)
    return gradient.sign() * (chosen / chosen.sum(1, keepdim=True).clamp_min(1)).view_as(gradient)
