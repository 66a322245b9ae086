"""Generalised entropy."""

from __future__ import annotations

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.forward_pass import ForwardPass


def generalised_entropy(log_probabilities: Tensor, gamma: float = 0.1, top: int = 100) -> Tensor:
    """`sum_{j <= M} p_j^gamma (1 - p_j)^gamma` over the M largest probabilities.

    `1 - p` of the largest is summed over the others, in logarithms, for next to 1 the difference has no digits left.

    Args:
        log_probabilities: log p, finite, `[N, K]`.
        gamma: the smaller, the more do small probabilities weigh.
        top: M; all classes where there are fewer.

    Returns:
        `[N]`, 0 or more.
    """
    ordered = log_probabilities.sort(1, descending=True).values
    others = ordered[:, 1:]
    rest = torch.cat([others.logsumexp(1, keepdim=True), torch.log1p(-others.exp())], 1)
    power = torch.tensor(gamma, dtype=ordered.dtype, device=ordered.device)  # a graph would keep a number in float32
    return (power * (ordered + rest))[:, :top].exp().sum(1)


@register("gen", reference="Liu et al. 2023, doi:10.1109/CVPR52729.2023.02293")
class GEN(Detector):
    """GEN: generalised entropy of the largest softmax probabilities."""

    gamma: PositiveFloat = Field(default=0.1, description="exponent of p (1 - p)", lt=1)
    top: PositiveInt = Field(default=100, description="number M of largest probabilities to use")

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return generalised_entropy(forward.log_probabilities, self.gamma, self.top)
