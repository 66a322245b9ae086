"""ReAct: energy of clipped features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from unshaken.core.registry import register
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Bank, Detector
from unshaken.detect.engine.kept import Kept
from unshaken.detect.engine.look import Look
from unshaken.detect.scores.energy import energy


@register("react", reference="Sun et al. 2021, arXiv:2111.12797", needs=("features",))
class ReAct(Detector):
    """Energy of the logits that the head gives to `min(f, c)`, the penultimate features clipped from above.

    c is a percentile of all units of all normal samples together.
    """

    fits = True

    percentile: float = Field(90.0, description="of normal values that stay as they are, in per cent", gt=0, le=100)

    def layers(self, anatomy: Anatomy) -> tuple[str, ...]:
        """The penultimate one."""
        return (anatomy.penultimate,)

    def rows(self, look: Look) -> Mapping[str, Tensor]:
        """Its values."""
        return {"penultimate": look.penultimate}

    def fit(self, kept: Kept) -> Bank:
        """The clip c."""
        features = kept.rows["penultimate"]
        clip = np.percentile(features.float().cpu().numpy(), self.percentile)  # torch.quantile ends at 2^24 values
        return {"clip": torch.tensor(float(clip), device=features.device)}

    def score(self, look: Look, bank: Bank) -> Tensor:
        """See `energy`."""
        return energy(look.anatomy.read_out(look.penultimate.clamp(max=bank["clip"])))
