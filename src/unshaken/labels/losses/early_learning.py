"""Early-learning regularisation: agree with what was predicted before, so that wrong labels are not memorised."""

from __future__ import annotations

import torch
from torch import Tensor

CLAMP = 1e-4
"""Probabilities are kept this far from 0 and 1."""


@torch.no_grad()
def update_targets(targets: Tensor, logits: Tensor, beta: float) -> Tensor:
    """The running average of predictions: `t <- beta t + (1 - beta) p`, with `p` clamped and divided by its sum.

    Args:
        targets: `[N, K]` of these samples, 0 at the start.
        logits: `[N, K]`.
        beta: in [0, 1).

    Returns:
        `[N, K]`, without a graph.
    """
    p = logits.softmax(1).clamp(CLAMP, 1 - CLAMP)
    return beta * targets + (1 - beta) * p / p.sum(1, keepdim=True)


def early_learning(targets: Tensor, logits: Tensor) -> Tensor:
    """`log(1 - <t, p>)`, at most 0: the lower, the more the prediction agrees with the average.

    Args:
        targets: `[N, K]`, already updated.
        logits: `[N, K]`; the gradient flows through their softmax.

    Returns:
        `[N]`.

    Source: Liu et al. 2020, arXiv:2007.00151.
    """
    p = logits.softmax(1).clamp(CLAMP, 1 - CLAMP)
    return (1 - (targets * p).sum(1)).log()
