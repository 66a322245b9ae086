"""Agreement of a segmentation network with itself over input scales, and its cross-entropy at all of them (ADELE)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.masks import IGNORED

Gate = Literal["image", "pixel", "none"]
CLAMP = 1e-3
"""The mixture is kept this far from 0 and 1, without being divided by its sum."""


def mixture(probabilities: Sequence[Tensor], weights: Tensor | None = None) -> Tensor:
    """The weighted mean of the scales' probabilities `[B, K, H, W]`, clamped.

    Args:
        probabilities: of each of S scales.
        weights: w, of sum 1, `[S]`; None for even ones.
    """
    found = torch.stack(list(probabilities))
    mean = found.mean(0) if weights is None else torch.einsum("s,s...->...", weights, found)
    return mean.clamp(CLAMP, 1 - CLAMP)


def multi_scale_consistency(
    logits: Sequence[Tensor], labels: Tensor | None = None, *, sure: float = 0.8, gate: Gate = "image",
    weights: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Mean over pixels of `sum_s KL(p_s || q)`, with `q = sum_s w_s p_s`; the gradient flows through both.

    Args:
        logits: of each scale, brought back to one size, `[B, K, H, W]`.
        labels: masks `[B, H, W]`; ignored pixels do not open the gate. None for none ignored.
        sure: probability that the mixture must reach to count.
        gate: `image` lets a whole image count if one of its pixels is sure, as the published code does; `pixel` lets
            each pixel count for itself; `none` lets all count.
        weights: w of the scales, of sum 1, `[S]`; None for even ones.

    Returns:
        A scalar; 0 for scales that agree. A third of it is the Jensen-Shannon divergence of three scales.

    Source: Liu et al. 2022, arXiv:2110.03740.
    """
    logs = [z.log_softmax(1) for z in logits]
    q = mixture([z.exp() for z in logs], weights)
    divergence = torch.stack([(z.exp() * (z - q.log())).sum(1) for z in logs]).sum(0)
    if gate == "none":
        return divergence.mean()
    top = q.detach().amax(1)
    if labels is not None:
        top = top.masked_fill(labels == IGNORED, 0)
    top = top.amax((1, 2), keepdim=True) if gate == "image" else top
    return (divergence * (top >= sure)).mean()


def multi_scale_cross_entropy(logits: Sequence[Tensor], labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum over scales of the mean cross-entropy of `w_s logits_s`; ignored pixels add 0 and stay in the mean.

    Args:
        logits: of each of S scales, `[B, K, H, W]`.
        labels: masks, int64 `[B, H, W]`.
        weights: w of the scales, of sum 1, `[S]`; None for `1 / S`.
    """
    shares = [1 / len(logits)] * len(logits) if weights is None else weights
    scaled = [share * z for share, z in zip(shares, logits, strict=True)]
    parts = [F.cross_entropy(z, labels, ignore_index=IGNORED, reduction="none") for z in scaled]
    return torch.stack(parts).sum(0).mean()
