"""fDBD: how near a feature is to the boundaries between its class and the others."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Bank, PenultimateDetector
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass

SMALLEST = 1e-12
"""Lengths below this share of the largest that occurs count as this share, so that no quotient is infinite."""


def reciprocal_distances(weight: Tensor) -> Tensor:
    """`1 / |w_p - w_c|` of each pair of classes; 0 where both have the same weights, and so no boundary.

    Args:
        weight: W, `[K, d]`.

    Returns:
        float64 `[K, K]`.
    """
    w = weight.double()
    distance = torch.cdist(w, w, compute_mode="donot_use_mm_for_euclid_dist")
    apart = distance > SMALLEST * torch.linalg.vector_norm(w, dim=1).amax()
    return torch.where(apart, 1 / torch.where(apart, distance, 1), 0)


def boundary_distance(logits: Tensor, reciprocals: Tensor) -> Tensor:
    """Mean distance of features to the boundaries of their class, `1/(K-1) sum_(c != p) (z_p - z_c) / |w_p - w_c|`.

    Args:
        logits: z, `[N, K]`; p is the class of the largest.
        reciprocals: `1 / |w_p - w_c|`, see `reciprocal_distances`.

    Returns:
        `[N]`, 0 or more.
    """
    largest, predicted = logits.max(1)
    return ((largest[:, None] - logits) * reciprocals[predicted]).sum(1) / max(1, logits.shape[1] - 1)


@register("fdbd", reference="Liu & Qin 2024, arXiv:2312.11536", needs=("logits", "features"), title="fDBD")
class FDBD(PenultimateDetector):
    """fDBD: negative mean distance of the penultimate features to the decision boundaries, over their deviation."""

    normaliser: Literal["deviation", "norm"] = Field(
        default="deviation",
        description="divisor of the distance. deviation: distance of the features to the mean of normal ones; "
        "norm: the features' own norm",
    )

    @override
    def moments(self, anatomy: Anatomy) -> tuple[str, ...]:
        return (anatomy.penultimate,) if self.normaliser == "deviation" else ()

    @override
    def fit(self, fit_data: FitData) -> Bank:
        weight, _ = fit_data.anatomy.linear
        reciprocals = reciprocal_distances(weight)
        mean = torch.zeros_like(weight[0]).double()
        if self.normaliser == "deviation":
            mean = fit_data.moments[fit_data.anatomy.penultimate].mean()
        return {"reciprocals": reciprocals, "mean": mean}

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        f = forward.penultimate.double()
        floor = SMALLEST * (1 + f.detach().abs().amax(1))
        scale: Tensor = torch.linalg.vector_norm(f - bank["mean"], dim=1).clamp_min(floor)
        return -boundary_distance(forward.z, bank["reciprocals"]) / scale
