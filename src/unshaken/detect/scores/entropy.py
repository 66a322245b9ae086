"""Entropy."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.forward_pass import ForwardPass


def entropy(log_probabilities: Tensor) -> Tensor:
    """`-sum_c p_c log p_c`, in nats.

    Args:
        log_probabilities: log p, finite, `[N, K]`.

    Returns:
        `[N]` in [0, log K].
    """
    return -(log_probabilities.exp() * log_probabilities).sum(1)


@register("entropy", reference="Shannon 1948, doi:10.1002/j.1538-7305.1948.tb01338.x")
class Entropy(Detector):
    """Entropy of the softmax probabilities, in nats."""

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return entropy(forward.log_probabilities)
