"""MixMatch's loss: cross-entropy where labels are trusted, squared error where they were guessed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def mixmatch(logits: Tensor, targets: Tensor, labelled: Tensor, weight: float) -> Tensor:
    """`mean_x CE(q, p) + lambda mean_u |q - p|^2 / K`, each a mean over its own samples; a part without any is 0.

    Args:
        logits: `[N, K]` of mixed images.
        targets: q, mixed class probabilities `[N, K]`.
        labelled: bool `[N]`: whether the image that prevails in a mixture has a trusted label.
        weight: lambda.

    Returns:
        A scalar.

    Source: Berthelot et al. 2019, arXiv:1905.02249, as in Li, Socher & Hoi 2020, arXiv:2002.07394.
    """
    entropies = -(targets * F.log_softmax(logits, 1)).sum(1)
    errors = (logits.softmax(1) - targets).square().mean(1)
    return _mean(entropies, labelled) + weight * _mean(errors, ~labelled)


def prior_penalty(logits: Tensor) -> Tensor:
    """`KL(uniform || mean p)` over a batch, in nats: no class may be predicted for all.

    Args:
        logits: `[N, K]`.
    """
    mean = logits.softmax(1).mean(0)
    return -(mean.clamp(min=torch.finfo(mean.dtype).tiny) * len(mean)).log().mean()


def negative_entropy(logits: Tensor) -> Tensor:
    """`mean sum_k p_k ln p_k`: added to a loss, it keeps predictions from becoming certain.

    Args:
        logits: `[N, K]`.
    """
    logs = F.log_softmax(logits, 1)
    return (logs.exp() * logs).sum(1).mean()


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean of chosen values `[N]`; 0 with a graph where none is."""
    return torch.where(chosen, values, 0.0).sum() / chosen.sum().clamp(min=1)
