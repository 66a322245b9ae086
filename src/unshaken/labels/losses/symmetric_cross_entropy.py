"""Symmetric cross-entropy: cross-entropy, and cross-entropy with prediction and label changed over."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

_ZERO = 1e-4
"""What stands for a label's probability 0, whose logarithm is taken."""


def symmetric_cross_entropy(logits: Tensor, targets: Tensor, alpha: float = 0.1, beta: float = 1.0) -> Tensor:
    """`alpha CE(y, p) + beta CE(p, y)`; for a label the second is `9.2103 (1 - p_y)`.

    Args:
        logits: `[N, K]`.
        targets: class probabilities `[N, K]`.
        alpha: weight of cross-entropy.
        beta: weight of the reverse one.

    Returns:
        `[N]`.

    Source: Wang et al. 2019, arXiv:1908.06112.
    """
    logs = F.log_softmax(logits, 1)
    reverse = -(logs.exp() * targets.clamp(min=_ZERO).log()).sum(1)
    return alpha * -(targets * logs).sum(1) + beta * reverse
