"""Generalised cross-entropy: between cross-entropy and the mean absolute error."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def generalized_cross_entropy(logits: Tensor, targets: Tensor, q: float = 0.7) -> Tensor:
    """`(1 - p^q) / q` with `p` the probability of the target: cross-entropy for `q -> 0`, `1 - p` for 1.

    Its gradient is `p^q` times that of cross-entropy, so that a label which the model finds improbable pulls less.

    Args:
        logits: `[N, K]`.
        targets: class probabilities `[N, K]`; for mixed ones the loss is mixed.
        q: in (0, 1].

    Returns:
        `[N]`.

    Source: Zhang & Sabuncu 2018, arXiv:1805.07836.
    """
    logs = F.log_softmax(logits, 1)
    return (targets * (-(q * logs).expm1()) / q).sum(1)
