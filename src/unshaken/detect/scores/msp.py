"""Maximum softmax probability."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.forward_pass import ForwardPass


def msp(probabilities: Tensor) -> Tensor:
    """Probability that the model leaves to all other classes: `1 - max_c softmax(z)_c`.

    It is summed over these classes, for next to a probability of 1 the difference has no digits left.

    Args:
        probabilities: `[N, K]`.

    Returns:
        `[N]` in [0, 1 - 1/K].
    """
    return probabilities.sort(1).values[:, :-1].sum(1)


@register("msp", reference="Hendrycks & Gimpel 2017, arXiv:1610.02136")
class MSP(Detector):
    """MSP: one minus the maximum softmax probability."""

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return msp(forward.probabilities)
