"""CAM: the maps before global pooling, weighted by the linear layer after it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ModelError
from unshaken.core.registry import register
from unshaken.explain.engine.gradients import ActivationMap

TOLERANCE = 1e-3
"""Share of the largest gradient by which gradients of one map may differ from place to place."""


@register("cam", reference="Zhou et al. 2016, arXiv:1512.04150")
class CAM(ActivationMap):
    """CAM: `sum_k w_ck A_k`, signed, for nets of global average pooling and one linear layer.

    In such a net `d z_c / d A_k = w_ck / (h w)` at every place, so the weights are read from the gradient.
    """

    score: Literal["logit"] = Field(default="logit", description="score that is explained: only the logit is linear")

    @override
    def combine(self, outputs: Tensor, gradient: Tensor) -> Tensor:
        mean = gradient.mean((2, 3), keepdim=True)
        if bool((gradient - mean).abs().max() > TOLERANCE * gradient.abs().max()):
            raise ModelError(
                f"cam: after the layer {self.layer!r} come more than global average pooling and a linear layer: use "
                "gradcam, or name the layer before the pooling"
            )
        return (mean * outputs).sum(1) * outputs.shape[2] * outputs.shape[3]
