"""Maximum logit."""

from __future__ import annotations

from torch import Tensor

from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.look import Look


@register("max-logit", reference="Hendrycks et al. 2022, arXiv:1911.11132")
class MaxLogit(Detector):
    """The largest logit, negated: `-max_c z_c`."""

    def score(self, look: Look, bank: Bank) -> Tensor:
        """`[N]`."""
        return -look.z.amax(1)
