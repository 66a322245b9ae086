"""Local intrinsic dimension of a sample among normal ones, over one layer or several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError
from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.engine.layerwise import LayerwiseDetector

TINY = 1e-300
"""Stands for a distance of 0 among others that are not."""
SAME = 1e-5
"""A reference nearer than this share of a sample's length is the sample itself: float32 rounds it in another batch."""
FLATTEST = 1e-6
"""The mean of `log(d_k / d_i)` is no smaller: neighbours that are all equally far have no finite dimension."""


def local_intrinsic_dimension(distances: Tensor) -> Tensor:
    """The maximum-likelihood estimate `-k / sum_i log(d_i / d_k)`.

    Args:
        distances: to the k nearest references, rising, `[..., k]`.

    Returns:
        `[...]`, 0 where all distances are 0, and 1e6 at most.

    >>> local_intrinsic_dimension(torch.tensor([1.0, 2.0, 3.0, 4.0])).item()
    1.6898...
    """
    farthest = distances[..., -1:]
    logs = (farthest.clamp(min=TINY) / distances.clamp(min=TINY)).log()
    return torch.where(farthest[..., 0] > 0, 1 / logs.mean(-1).clamp(min=FLATTEST), 0.0)


def nearest_distances(features: Tensor, references: Tensor, k: int) -> Tensor:
    """Distances to the k nearest references; where a sample is itself one of them, that zero is left out, once.

    Distances below `SAME` of the sample's length are 0.

    Args:
        features: float64 `[N, d]`.
        references: float64 `[M, d]`, M above k.
        k: neighbours.

    Returns:
        `[N, k]`, rising.
    """
    exact = torch.cdist(features, references, compute_mode="donot_use_mm_for_euclid_dist")
    found = exact.topk(k + 1, 1, largest=False, sorted=True).values
    found = torch.where(found > SAME * features.norm(dim=1, keepdim=True), found, 0.0)
    return torch.where(found[:, :1] == 0, found[:, 1:], found[:, :-1])


@register("lid", reference="Ma et al. 2018, arXiv:1801.02613", needs=("features",))
class LID(LayerwiseDetector):
    """LID: local intrinsic dimension of the features among normal samples; high for adversarial images.

    The references are a fixed random set of normal samples, where the paper takes the others of a minibatch: so no
    other sample changes a score.
    """

    references: PositiveInt = Field(default=100, description="number of normal samples to compare with")
    k: PositiveInt = Field(
        default=20, description="number of nearest neighbours in the estimate; the paper tries 10 to 90"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.k < 2 or self.k >= self.references:
            raise ValueError(f"k={self.k} must be 2 or more and below the {self.references} references")
        return self

    @override
    def rows(self, forward: ForwardPass) -> Mapping[str, Tensor]:
        return {f"pooled/{name}": forward.pooled(name) for name in self.layers(forward.anatomy)}

    @override
    def layer_bank(self, fit_data: FitData) -> Bank:
        names = self.layers(fit_data.anatomy)
        bank = {
            f"{i}.references": fit_data.rows[f"pooled/{n}"][: self.references].double() for i, n in enumerate(names)
        }
        found = len(bank["0.references"])
        if found <= self.k:
            raise DataError(f"lid: {found} normal samples are too few for k={self.k}: give more data or a smaller k")
        return bank

    @override
    def layer_scores(self, forward: ForwardPass, bank: Bank) -> Tensor:
        found = []
        for number, name in enumerate(self.layers(forward.anatomy)):
            distances = nearest_distances(forward.pooled(name).double(), bank[f"{number}.references"], self.k)
            found.append(local_intrinsic_dimension(distances))
        return torch.stack(found, 1)
