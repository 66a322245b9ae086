"""LayerCAM: a layer's maps, weighted by their positive gradients place by place."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.explain.engine.gradients import ActivationMap


@register("layercam", reference="Jiang et al. 2021, doi:10.1109/TIP.2021.3089943")
class LayerCAM(ActivationMap):
    """LayerCAM: `ReLU(sum_k ReLU(d z_c / d A_k) A_k)`, which also serves early layers."""

    @override
    def combine(self, outputs: Tensor, gradient: Tensor) -> Tensor:
        return (gradient.relu() * outputs).sum(1).relu()
