"""Energy."""

from __future__ import annotations

from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.forward_pass import ForwardPass


def energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """`-T log sum_c exp(z_c / T)`: the free energy, low where the model expects much.

    Args:
        logits: z, `[N, K]`.
        temperature: T, above 0; towards 0 it becomes `-max_c z_c`.

    Returns:
        `[N]`.
    """
    return -temperature * (logits / temperature).logsumexp(1)


@register("energy", reference="Liu et al. 2020, arXiv:2010.03759")
class Energy(Detector):
    """Energy score: the free energy of the logits."""

    temperature: PositiveFloat = Field(default=1.0, description="T, divides the logits")

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return energy(forward.z, self.temperature)
