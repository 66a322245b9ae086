"""ASH: energy of the largest features alone."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ModelError
from unshaken.core.registry import register
from unshaken.detect.engine.base import Bank, PenultimateDetector
from unshaken.detect.engine.forward_pass import ForwardPass
from unshaken.detect.scores.energy import energy

Variant = Literal["p", "b", "s"]


def largest(features: Tensor, percentile: float) -> Tensor:
    """Which of each sample's features are the largest `100 - percentile` per cent; at least one is.

    Args:
        features: f, `[N, d]`.
        percentile: share of those that are not, in per cent.

    Returns:
        1 or 0, `[N, d]`.
    """
    d = features.shape[1]
    units = features.topk(max(1, d - round(d * percentile / 100)), 1).indices
    return torch.zeros_like(features).scatter(1, units, 1.0)


def stretch(features: Tensor, chosen: Tensor) -> Tensor:
    """`exp(sum of all / sum of the largest)`; of a sample that is 0 all over it is 1.

    Args:
        features: f, 0 or more, `[N, d]`.
        chosen: see `largest`.

    Returns:
        `[N, 1]`.
    """
    part = (features * chosen).sum(1, keepdim=True).clamp_min(torch.finfo(features.dtype).tiny)
    return (features.sum(1, keepdim=True) / part).exp()


def ash(features: Tensor, percentile: float, variant: Variant) -> Tensor:
    """Prune each sample's small features and shape the others.

    Args:
        features: f, 0 or more, `[N, d]`.
        percentile: share that becomes 0, in per cent.
        variant: what becomes of the others: `p` they stay; `b` all take one value, so that the sum is that of before;
            `s` they are multiplied by `exp(sum before / sum of them)`.

    Returns:
        `[N, d]`.
    """
    chosen = largest(features, percentile)
    if variant == "p":
        return features * chosen
    if variant == "b":
        return chosen * features.sum(1, keepdim=True) / chosen.sum(1, keepdim=True)
    return features * chosen * stretch(features, chosen)


def non_negative(features: Tensor, name: str) -> Tensor:
    """The features, if none is below 0.

    Args:
        features: f, `[N, d]`.
        name: of the detector, for the message.

    Raises:
        ModelError: one is.
    """
    if not torch.compiler.is_compiling() and bool((features < 0).any()):
        raise ModelError(
            f"{name}: the head's input has values below 0 ({features.min().item():.3g}), sums of which mean "
            "nothing: it is for heads behind a ReLU; use react or vim for this model"
        )
    return features


@register("ash", reference="Djurisic et al. 2023, arXiv:2209.09858", needs=("features",))
class ASH(PenultimateDetector):
    """ASH: energy score after pruning and rescaling the penultimate features."""

    percentile: float = Field(default=65.0, description="percentage of each sample's features to set to 0", ge=0, le=95)
    variant: Variant = Field(
        default="s", description="p: prune only; b: prune, then one value for all; s: prune and stretch"
    )

    @override
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        features = non_negative(forward.penultimate, "ash")
        return energy(forward.anatomy.read_out(ash(features, self.percentile, self.variant)))
