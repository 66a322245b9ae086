"""GradCAM: a layer's maps, weighted by their mean gradients."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.explain.engine.gradients import ActivationMap


@register("gradcam", reference="Selvaraju et al. 2017, arXiv:1610.02391")
class GradCAM(ActivationMap):
    """GradCAM: `ReLU(sum_k w_k A_k)`, with `w_k` the mean of `d z_c / d A_k` over the places."""

    @override
    def combine(self, outputs: Tensor, gradient: Tensor) -> Tensor:
        return (gradient.mean((2, 3), keepdim=True) * outputs).sum(1).relu()
