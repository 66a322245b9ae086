"""Maximum logit."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.forward_pass import ForwardPass


@register("max-logit", reference="Hendrycks et al. 2022, arXiv:1911.11132")
class MaxLogit(Detector):
    """MaxLogit: the negative largest logit, `-max_c z_c`."""

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return -forward.z.amax(1)
