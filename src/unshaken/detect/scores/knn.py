"""Distance to the k-th nearest normal feature."""

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
from unshaken.detect.scores._nearest import SLAB, QuantisedBank, fast_bytes, nearest, restored, saved, search

LARGE = 2**17
"""Rows from which on a bank is kept in bytes."""


def kth_distance(queries: Tensor, bank: Tensor | QuantisedBank, k: int) -> Tensor:
    """Euclidean distance `|u - u_(k)|` on the unit sphere to the k-th nearest of a bank.

    Who is the k-th is decided by float32 similarities (two rows whose similarities differ by no more than their
    rounding may change places); the distance to it has the digits of the vectors themselves, and passes a gradient.

    Args:
        queries: u, of length 1, `[N, d]`.
        bank: of length 1, `[M, d]`, M at least k; in bytes the answer is the same, and faster.
        k: 1 is the nearest.

    Returns:
        `[N]` in [0, 2].
    """
    distance: Tensor = torch.linalg.vector_norm(queries - bank[_kth(queries.detach(), bank, k)], dim=1)
    return distance


@torch.no_grad()
def _kth(queries: Tensor, bank: Tensor | QuantisedBank, k: int) -> Tensor:
    if torch.compiler.is_compiling():
        return nearest(queries, bank, k)
    parts = []
    for slab in torch.split(queries, SLAB):
        if isinstance(bank, Tensor) or slab.device.type != "cpu" or not fast_bytes():
            parts.append(nearest(slab, bank, k))
            continue
        index, decided = search(slab, bank, k)
        if not decided.all():
            index[~decided] = nearest(slab[~decided], bank, k)
        parts.append(index)
    return torch.cat(parts)


@register("knn", reference="Sun et al. 2022, arXiv:2204.06507", needs=("features",))
class KNN(PenultimateDetector):
    """KNN: distance of the normalised penultimate features to the k-th nearest normal sample."""

    k: PositiveInt = Field(
        default=50, description="index of the neighbour; 50 for CIFAR-10, 200 for CIFAR-100, 1000 for ImageNet"
    )

    @override
    def rows(self, forward: ForwardPass) -> Mapping[str, Tensor]:
        return {"penultimate": forward.penultimate}

    @override
    def fit(self, fit_data: FitData) -> Bank:
        bank = F.normalize(fit_data.rows["penultimate"].float())
        if len(bank) < self.k:
            raise DataError(
                f"knn: the bank has {len(bank)} samples, fewer than k={self.k}: give more data or a smaller k, "
                f"such as knn:k={max(1, len(bank) // 4)}"
            )
        if len(bank) < LARGE:
            return {"bank": bank}
        drawn = torch.randperm(len(bank), generator=torch.Generator().manual_seed(0))
        return saved(QuantisedBank.of(bank, drawn))

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        rows = bank["bank"] if "bank" in bank else restored(bank)
        return kth_distance(F.normalize(forward.penultimate.float()), rows, self.k).double()
