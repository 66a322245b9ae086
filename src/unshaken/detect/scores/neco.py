"""NECO: how much of the features lies in the few directions into which normal ones collapse."""

from __future__ import annotations

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import register
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.base import Bank, PenultimateDetector
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass

STILL = 1e-6
"""Standard deviations below this share of the mean are float32 rounding: such units are centred and not scaled."""
FLOOR = 1e-10
"""Directions of less than this share of the largest eigenvalue are empty."""


def neco(standardised: Tensor, space: Tensor) -> Tensor:
    """Share of the norm inside a space, `|P^T x| / |x|`; 0 for x = 0.

    Args:
        standardised: x, float64 `[N, d]`.
        space: P, orthonormal columns, `[d, D]`.

    Returns:
        `[N]` in [0, 1].
    """
    inside: Tensor = torch.linalg.vector_norm(standardised @ space, dim=1)
    whole: Tensor = torch.linalg.vector_norm(standardised, dim=1)
    return inside / whole.clamp_min(torch.finfo(whole.dtype).tiny)


@register("neco", reference="Ben Ammar et al. 2024, arXiv:2310.06823", needs=("logits", "features"), title="NECO")
class NECO(PenultimateDetector):
    """NECO: negative share of standardised penultimate features inside their principal space, times the max logit."""

    dimensions: PositiveInt | None = Field(
        default=None, description="D, principal directions; none given: as many as hold the share `variance`"
    )
    variance: float = Field(
        default=0.9, description="share of the variance of standardised features in the principal space", gt=0, lt=1
    )
    max_logit: bool = Field(
        default=True, description="multiply by the largest logit; the authors do, except for ResNets"
    )

    @override
    def moments(self, anatomy: Anatomy) -> tuple[str, ...]:
        return (anatomy.penultimate,)

    @override
    def fit(self, fit_data: FitData) -> Bank:
        moments = fit_data.moments[fit_data.anatomy.penultimate]
        mean, covariance = moments.mean(), moments.covariance()
        deviation = covariance.diagonal().clamp_min(0).sqrt()
        varies = deviation > STILL * mean.abs()
        if not bool(varies.any()):
            raise DataError(f"neco: none of the {len(mean)} features of normal samples varies; give more diverse data")
        scale = torch.where(varies, deviation, 1)
        values, vectors = torch.linalg.eigh(covariance / scale[:, None] / scale)
        space = vectors.flip(1)[:, : self._principal(values.flip(0).clamp_min(0))]
        return {"mean": mean, "scale": scale, "space": space.contiguous()}

    def _principal(self, eigenvalues: Tensor) -> int:
        """D, from falling eigenvalues."""
        filled = int((eigenvalues > FLOOR * eigenvalues[0]).sum())
        if self.dimensions is None:
            share = eigenvalues.cumsum(0) / eigenvalues.sum()
            return int((share < self.variance).sum()) + 1
        if self.dimensions >= filled:
            raise ParameterError(
                f"neco: dimensions={self.dimensions} of the {filled} directions that normal features fill is no "
                f"smaller space; give fewer than {filled}, or variance=0.9"
            )
        return self.dimensions

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        share = neco((forward.penultimate.double() - bank["mean"]) / bank["scale"], bank["space"])
        return -share * forward.z.amax(1) if self.max_logit else -share
