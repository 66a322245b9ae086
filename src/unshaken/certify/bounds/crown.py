"""CROWN: a network between two linear functions of the image."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.certify.bounds.bounding import BoundCertifier, chain_and_labels
from unshaken.certify.bounds.interval import Bounds, box, interval_margins
from unshaken.certify.bounds.linear import LinearBounds
from unshaken.certify.engine.layers import Chain
from unshaken.core.classifier import Classifier
from unshaken.core.registry import register

Intermediate = Literal["crown", "ibp"]


@register("crown", reference="Zhang et al. 2018, arXiv:1811.00866")
class CROWN(BoundCertifier):
    """CROWN: certifies an linf radius by propagating linear bounds backwards through the network.

    A unit that may be on or off lies below the line through its ends, and above 0 or the identity, whichever leaves the
    smaller area. Its own bounds come from intervals (CROWN-IBP, one pass back for each class), or with
    `intermediate=crown` from such passes too, one for each unit that may be on or off: far tighter, and slow where
    layers are large. Samples that a cheaper bound proves are not bounded again. Never looser than `ibp`, and as sound
    under float32's rounding.
    """

    intermediate: Intermediate = Field(
        default="ibp", description="bounds of intermediate layers: ibp, or crown (tighter, slower)"
    )

    @override
    def holds(self, chain: Chain, bounds: Bounds, labels: Tensor, limit: int) -> Tensor:
        proved = (interval_margins(chain, bounds, labels) > 0).all(1)
        for refine in (False, True)[: 1 + (self.intermediate == "crown")]:
            left = (~proved).nonzero().flatten()
            if len(left):
                linear = LinearBounds(chain, (bounds[0][left], bounds[1][left]), refine=refine, limit=limit)
                proved[left] = (linear.margins(labels[left]) > 0).all(1)
        return proved


def margins(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    eps: float | Tensor,
    *,
    intermediate: Intermediate = "ibp",
    limit: int = 256,
) -> Tensor:
    """Lower bounds of the margins `z_y - z_j` over linf balls, by linear relaxations.

    Args:
        model: whose layers are known; see `docs/certify/bounds.md`.
        images: `[N, C, H, W]` in [0, 1].
        labels: y, int64 `[N]`.
        eps: radius in [0, 1] pixel units, or one a sample.
        intermediate: as of `CROWN`.
        limit: functionals carried back at a time, at most.

    Returns:
        float64 `[N, K]`, inf at y itself: where a row's least is above 0, no image of the ball has another class.

    Raises:
        ModelError: the network has a layer that bounds do not know.
        DataError: labels do not fit.
        ParameterError: eps is below 0.
    """
    chain, labels = chain_and_labels(model, images, labels, eps)
    with torch.no_grad():
        bounds = box(images, eps, chain.device)
        return LinearBounds(chain, bounds, refine=intermediate == "crown", limit=limit).margins(labels)
