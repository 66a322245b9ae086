"""Images without content, from which others are told."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from unshaken.core.rng import SampleRng

Baseline = Literal["black", "grey", "white", "mean", "noise"]
"""Pixels of 0, of 0.5 or of 1; the mean colour of the image; or uniform noise."""


def baseline_of(images: Tensor, kind: Baseline, rng: SampleRng) -> Tensor:
    """The baseline of each image.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        kind: see `Baseline`.
        rng: the samples' streams, for noise.

    Returns:
        `[N, C, H, W]`.
    """
    if kind == "mean":
        return images.mean((2, 3), keepdim=True).expand_as(images)
    if kind == "noise":
        return rng.fold("baseline").uniform(*images.shape[1:]).to(images)
    return torch.full_like(images, {"black": 0.0, "grey": 0.5, "white": 1.0}[kind])
