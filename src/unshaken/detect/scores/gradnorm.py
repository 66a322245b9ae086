"""GradNorm: how strongly the model would learn from a uniform target, which says that it knows nothing."""

from __future__ import annotations

from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, PenultimateDetector
from unshaken.detect.engine.forward_pass import ForwardPass


def gradient_norm(features: Tensor, probabilities: Tensor, temperature: float = 1.0) -> Tensor:
    """`|dKL(u || softmax(z / T)) / dW|_1` of the head's weights W: `|f|_1 |p - 1/K|_1 / T`.

    The gradient is the outer product `(p - 1/K) f^T / T`, so its norm needs no backward pass.

    Args:
        features: f, what the head weighs, `[N, d]`.
        probabilities: p = softmax(z / T), `[N, K]`.
        temperature: T, above 0.

    Returns:
        `[N]`, large for what the model knows.
    """
    return features.abs().sum(1) * (probabilities - 1 / probabilities.shape[1]).abs().sum(1) / temperature


@register("gradnorm", reference="Huang et al. 2021, arXiv:2110.00218", needs=("logits", "features"))
class GradNorm(PenultimateDetector):
    """GradNorm: negative l1 norm of the last layer's gradient under uniform labels."""

    temperature: PositiveFloat = Field(default=1.0, description="T, divides the logits")

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        sure = forward.probabilities if self.temperature == 1 else (forward.z / self.temperature).softmax(1)
        return -gradient_norm(forward.penultimate.double(), sure, self.temperature)
