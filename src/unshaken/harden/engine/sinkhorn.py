"""Codes of a batch by the Sinkhorn algorithm: soft assignments to prototypes, each with its share of the samples.

Source: Caron et al. 2020, arXiv:2006.09882; Cuturi 2013, arXiv:1306.0895.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unshaken.core.errors import ParameterError


def power_law(count: int, alpha: float) -> Tensor:
    """Shares in proportion to `1 / (k + 1)^alpha`, k from 0: how many samples each prototype is to have.

    Args:
        count: number of prototypes K.
        alpha: 0 for equal shares; larger for fewer, larger clusters.

    Returns:
        float64 `[K]`, of sum 1.

    >>> [round(share, 2) for share in power_law(4, 1.0).tolist()]
    [0.48, 0.24, 0.16, 0.12]
    """
    shares = torch.arange(1, count + 1, dtype=torch.float64) ** -alpha
    return shares / shares.sum()


@torch.no_grad()
def sinkhorn_codes(scores: Tensor, *, eps: float = 0.05, iterations: int = 3, shares: Tensor | None = None) -> Tensor:
    """Codes q of samples: nearest to `softmax(scores / eps)` such that prototype k has the share r_k of all samples.

    Each iteration first scales the prototypes to their shares, then the samples to equal weight. It is done with
    logarithms, so that no exponential overflows. A few iterations come near the shares and do not reach them.

    Args:
        scores: s `[B, K]`, cosines of samples with prototypes; no gradient passes.
        eps: the smaller, the nearer to hard assignments; above 0.
        iterations: at least 1.
        shares: r `[K]`, of sum 1; None for `1/K` each.

    Returns:
        float32 `[B, K]`, rows of sum 1.

    Raises:
        ParameterError: eps or iterations are out of range, or scores are not `[B, K]` with one sample at least.

    >>> sinkhorn_codes(torch.tensor([[0.9, 0.1], [0.2, 0.6]]), iterations=100).round(decimals=3).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if not eps > 0 or iterations < 1:
        raise ParameterError(f"eps must be above 0 and iterations at least 1, not {eps} and {iterations}")
    if scores.ndim != 2 or not scores.numel():
        raise ParameterError(f"scores must be [B, K] with at least one sample and prototype, not {tuple(scores.shape)}")
    logs = scores.float() / eps
    logs = logs - logs.amax()
    wanted: float | Tensor = -math.log(scores.shape[1]) if shares is None else shares.log().to(logs)
    for _ in range(iterations):
        logs = logs - logs.logsumexp(0, keepdim=True) + wanted
        logs = logs - logs.logsumexp(1, keepdim=True)  # of sum 1 in place of 1/B: a factor that the next step takes out
    return logs.exp()


def code_entropy(codes: Tensor) -> tuple[float, float]:
    """Entropy of the mean code, and the mean entropy of a code, in nats.

    The first is `ln K` where prototypes share the samples equally. Both are where nothing is told apart: training has
    collapsed. It goes well where the first is high and the second is low.

    Args:
        codes: `[B, K]`, rows of sum 1.
    """
    return float(torch.special.entr(codes.mean(0)).sum()), float(torch.special.entr(codes).sum(1).mean())
