"""ReAct: energy of clipped features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, PenultimateDetector
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.energy import energy


@register("react", reference="Sun et al. 2021, arXiv:2111.12797", needs=("features",))
class ReAct(PenultimateDetector):
    """ReAct: energy score after clipping the penultimate features from above, `min(f, c)`.

    c is a percentile of all units of all normal samples together.
    """

    percentile: float = Field(
        default=90.0, description="percentage of normal feature values below the clipping threshold", gt=0, le=100
    )

    @override
    def rows(self, forward: ForwardPass) -> Mapping[str, Tensor]:
        return {"penultimate": forward.penultimate}

    @override
    def fit(self, fit_data: FitData) -> Bank:
        features = fit_data.rows["penultimate"]
        clip = np.percentile(features.float().cpu().numpy(), self.percentile)  # torch.quantile ends at 2^24 values
        return {"clip": torch.tensor(float(clip), device=features.device)}

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return energy(forward.anatomy.read_out(forward.penultimate.clamp(max=bank["clip"])))
