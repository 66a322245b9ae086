"""NNGuide: energy, guided by the similarity to the nearest normal features."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, PenultimateDetector
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores._nearest import CELLS, top
from unshaken.detect.scores.energy import energy


def guidance(queries: Tensor, bank: Tensor, k: int) -> Tensor:
    """Mean of the k largest inner products of each query with a bank, `1/k sum_(i in N_k) <u, E_i v_i>`.

    Args:
        queries: u, of length 1, `[N, d]`.
        bank: `E_i v_i`, features of length 1 times their negative free energy, `[M, d]`.
        k: at most M.

    Returns:
        `[N]`.
    """
    parts = [queries] if torch.compiler.is_compiling() else torch.split(queries, max(1, CELLS // len(bank)))
    return torch.cat([top(part @ bank.T, k)[0].mean(1) for part in parts])


@register("nnguide", reference="Park et al. 2023, arXiv:2309.14888", needs=("features",), title="NNGuide")
class NNGuide(PenultimateDetector):
    """NNGuide: energy score times the similarity to the nearest normal features, each weighted by its own energy."""

    k: PositiveInt = Field(default=10, description="number of neighbours whose similarities are averaged")

    @override
    def rows(self, forward: ForwardPass) -> Mapping[str, Tensor]:
        return {"penultimate": forward.penultimate, "logits": forward.logits}

    @override
    def fit(self, fit_data: FitData) -> Bank:
        features, logits = fit_data.rows["penultimate"].float(), fit_data.rows["logits"].float()
        if len(features) < self.k:
            raise DataError(
                f"nnguide: the bank has {len(features)} samples, fewer than k={self.k}: give more data or a smaller k, "
                f"such as nnguide:k={max(1, len(features) // 4)}"
            )
        return {"bank": F.normalize(features) * -energy(logits)[:, None]}

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return guidance(F.normalize(forward.penultimate.float()), bank["bank"], self.k).double() * energy(forward.z)
