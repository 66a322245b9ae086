"""Supervised contrastive loss between two views, for targets that may be guesses."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def supervised_contrastive(first: Tensor, second: Tensor, positives: Tensor, tau: float = 0.2) -> Tensor:
    """`-sum_j M_ij log softmax_j(cos(u_i, v_j) / tau) / sum_j M_ij` for each row i.

    Where each sample is its own only positive, it is InfoNCE; where all similarities are alike, `log B` whatever M.

    Args:
        first: u, `[B, D]`.
        second: v, `[B, D]`; gradients pass to both.
        positives: M, bool `[B, B]`, one or more in each row.
        tau: temperature.

    Returns:
        Float32 `[B]`.

    Source: Khosla et al. 2020, arXiv:2004.11362, as Albert et al. 2024 take it, arXiv:2407.05528.
    """
    u, v = F.normalize(first.float(), dim=1), F.normalize(second.float(), dim=1)
    logs = F.log_softmax(u @ v.T / tau, 1)
    return -(positives * logs).sum(1) / positives.sum(1)


def weighted_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """`sum_i w_i CE(t_i, z_i) / sum_i w_i`, a scalar; 0 with a graph where all weights are 0.

    Args:
        logits: z `[B, K]`.
        targets: t, class probabilities `[B, K]`.
        weights: w `[B]`, none negative.
    """
    losses = F.cross_entropy(logits.float(), targets, reduction="none")
    return (weights * losses).sum() / weights.sum().clamp(min=1e-12)
