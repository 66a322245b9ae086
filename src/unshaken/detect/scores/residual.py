"""Residual: what of the features lies outside the space that normal ones fill."""

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

FLOOR = 1e-10
"""Directions of less than this share of the largest eigenvalue are empty: rounding, no residual."""


def principal_dimensions(d: int) -> int:
    """The usual D of d features: 1000 from 2048 on, 512 from 768 on, else half.

    >>> principal_dimensions(2048), principal_dimensions(768), principal_dimensions(80)
    (1000, 512, 40)
    """
    return 1000 if d >= 2048 else 512 if d >= 768 else d // 2


def origin(weight: Tensor, bias: Tensor) -> Tensor:
    """`o = -pinv(W) b`, the features to which the head gives logits nearest to 0.

    Args:
        weight: W, `[K, d]`.
        bias: b, `[K]`.

    Returns:
        float64 `[d]`.
    """
    inverse: Tensor = torch.linalg.pinv(weight.double())
    return -inverse @ bias.double()


def residual(features: Tensor, space: Tensor, origin: Tensor) -> Tensor:
    """Residual of features, `r = |R^T (f - o)|`.

    Args:
        features: f, `[N, d]`.
        space: R, orthonormal columns, float64 `[d, d - D]`.
        origin: o, `[d]`.

    Returns:
        float64 `[N]`.
    """
    size: Tensor = torch.linalg.vector_norm((features.double() - origin) @ space, dim=1)
    return size


@register("residual", reference="Wang et al. 2022, arXiv:2203.10807", needs=("features",))
class Residual(PenultimateDetector):
    """Residual: norm of the penultimate features outside the principal space of normal ones, without ViM's logits."""

    dimensions: PositiveInt | None = Field(
        default=None,
        description="D, principal directions that are no residual; none given: 1000 of 2048 features or more, 512 of "
        "768 or more, else half; half of the directions that normal features fill, where these are not more than D",
    )

    @override
    def moments(self, anatomy: Anatomy) -> tuple[str, ...]:
        return (anatomy.penultimate,)

    @override
    def fit(self, fit_data: FitData) -> Bank:
        o = origin(*fit_data.anatomy.linear)
        values, vectors = torch.linalg.eigh(fit_data.moments[fit_data.anatomy.penultimate].second(o))
        space = vectors[:, : len(o) - self._principal(values)]  # rising eigenvalues: the first are the smallest
        return {"origin": o, "space": space.contiguous()}

    def _principal(self, eigenvalues: Tensor) -> int:
        """D, checked against the directions that normal features fill at all."""
        name, d, filled = self.info.name, len(eigenvalues), int((eigenvalues > FLOOR * eigenvalues[-1]).sum())
        chosen = principal_dimensions(d) if self.dimensions is None else self.dimensions
        if chosen >= d and self.dimensions is not None:
            raise ParameterError(f"{name}: dimensions={chosen} of {d} features leave no residual; give fewer than {d}")
        if chosen >= filled and self.dimensions is None:
            chosen = filled // 2
        if chosen >= filled or chosen < 1:
            raise DataError(
                f"{name}: normal features fill {filled} of {d} directions, which leaves no residual beside "
                f"dimensions={chosen}; give fewer, or leave it out"
            )
        return chosen

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        return residual(forward.penultimate, bank["space"], bank["origin"])
