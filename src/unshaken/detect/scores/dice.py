"""DICE: energy of a head whose small contributions are cut."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, PenultimateDetector
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.energy import energy


def sparse_head(weight: Tensor, mean: Tensor, percentile: float) -> Tensor:
    """W with 0 for the weights that contribute least to the logits of normal samples.

    The contribution is `V_cj = W_cj E[f_j]`; what stays is what lies above the percentile of all of V.

    Args:
        weight: W, `[K, d]`.
        mean: E[f], `[d]`.
        percentile: share of weights that becomes 0, in per cent.

    Returns:
        `[K, d]`.
    """
    contribution = (weight * mean).flatten()
    place = int(
        percentile / 100 * (len(contribution) - 1)
    )  # quantile(interpolation="lower"), which ends at 2^24 values
    least = contribution.kthvalue(place + 1).values
    return weight * (contribution > least).view_as(weight)


@register("dice", reference="Sun & Li 2022, arXiv:2111.09805", needs=("features",))
class DICE(PenultimateDetector):
    """DICE: energy score with only those weights of the last layer that contribute most on normal samples."""

    percentile: float = Field(
        default=90.0, description="percentage of the last layer's weights to set to 0", ge=0, lt=100
    )

    @override
    def rows(self, forward: ForwardPass) -> Mapping[str, Tensor]:
        return {"penultimate": forward.penultimate}

    @override
    def fit(self, fit_data: FitData) -> Bank:
        weight, bias = fit_data.anatomy.linear
        sparse = sparse_head(weight, fit_data.rows["penultimate"].to(weight).mean(0), self.percentile)
        if not bool(sparse.any()):
            raise DataError(
                f"dice: no weight of the head contributes above the percentile {self.percentile:g}: the features of "
                "normal samples are constant, or 0; take a lower percentile"
            )
        return {"weight": sparse, "bias": bias}

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return energy(F.linear(forward.penultimate.to(bank["weight"]), bank["weight"], bank["bias"]).double())
