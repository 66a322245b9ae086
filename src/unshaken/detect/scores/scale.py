"""SCALE: energy of stretched features."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, PenultimateDetector
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.ash import largest, non_negative, stretch
from unshaken.detect.scores.energy import energy


@register("scale", reference="Xu et al. 2024, arXiv:2310.00227", needs=("features",))
class SCALE(PenultimateDetector):
    """SCALE: energy score after rescaling the penultimate features by `exp(sum(f) / sum of the largest f)`."""

    percentile: float = Field(
        default=85.0, description="percentile of a sample's features above which they count as its largest", ge=0, le=95
    )

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        features = non_negative(forward.penultimate, "scale")
        return energy(forward.anatomy.read_out(features * stretch(features, largest(features, self.percentile))))
