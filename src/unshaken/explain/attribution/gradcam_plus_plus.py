"""GradCAM++: gradients weighted place by place."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.explain.engine.gradients import ActivationMap


@register("gradcam-plus-plus", reference="Chattopadhay et al. 2018, arXiv:1710.11063")
class GradCAMPlusPlus(ActivationMap):
    """GradCAM++: as GradCAM, with weights that do justice to several objects of the class.

    With `g = d z_c / d A_k`, as for the score `exp z_c`: `alpha = g^2 / (2 g^2 + sum_places A_k g^3)` and
    `w_k = sum_places alpha ReLU(g)`.
    """

    @override
    def combine(self, outputs: Tensor, gradient: Tensor) -> Tensor:
        square = gradient.square()
        below = 2 * square + (outputs * gradient.pow(3)).sum((2, 3), keepdim=True)
        alpha = (square / below.where(below != 0, below.new_ones(()))).nan_to_num()
        return ((alpha * gradient.relu()).sum((2, 3), keepdim=True) * outputs).sum(1).relu()
