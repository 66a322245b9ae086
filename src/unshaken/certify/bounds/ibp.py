"""Interval bound propagation: what every pixel of a box can do to every unit, one by one."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.certify.bounds.bounding import BoundCertifier, chain_and_labels
from unshaken.certify.bounds.interval import Bounds, box, interval_margins
from unshaken.certify.engine.layers import Chain
from unshaken.core.classifier import Classifier
from unshaken.core.registry import register


@register("ibp", reference="Gowal et al. 2018, arXiv:1810.12715")
class IBP(BoundCertifier):
    """Interval bound propagation (IBP): certifies an linf radius in one pass of interval arithmetic.

    The rows `W_y - W_j` of the margins are folded into the last layer. Bounds hold for the network as float32 computes
    it, in whatever order it sums: each layer's interval is widened by the largest rounding that its sums may have.
    Sound for every network that can be read, but loose for those that were not trained for it.
    """

    @override
    def holds(self, chain: Chain, bounds: Bounds, labels: Tensor, limit: int) -> Tensor:
        return (interval_margins(chain, bounds, labels) > 0).all(1)


def margins(model: Classifier, images: Tensor, labels: Tensor, eps: float | Tensor) -> Tensor:
    """Lower bounds of the margins `z_y - z_j` over linf balls, by intervals.

    Args:
        model: whose layers are known; see `docs/certify/bounds.md`.
        images: `[N, C, H, W]` in [0, 1].
        labels: y, int64 `[N]`.
        eps: radius in [0, 1] pixel units, or one a sample.

    Returns:
        float64 `[N, K]`, inf at y itself: where a row's least is above 0, no image of the ball has another class.

    Raises:
        ModelError: the network has a layer that bounds do not know.
        DataError: labels do not fit.
        ParameterError: eps is below 0.
    """
    chain, labels = chain_and_labels(model, images, labels, eps)
    with torch.no_grad():
        return interval_margins(chain, box(images, eps, chain.device), labels)
