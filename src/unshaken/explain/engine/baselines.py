"""Images without content, with which others are compared, and what takes the place of removed pixels."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.classifier import Classifier
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


Substrate = Literal["model-mean", "blur", "black", "grey", "white", "mean", "noise"]
"""The colour that the model's normalisation maps to 0 (black where it has none), the image blurred, or a `Baseline`."""
KERNEL, SIGMA = 11, 5.0
"""Side and standard deviation of the blur's kernel, in pixels."""


def substrate_of(images: Tensor, kind: Substrate, rng: SampleRng, model: Classifier) -> Tensor:
    """The pixels that take the place of removed ones.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        kind: see `Substrate`.
        rng: the samples' streams, for noise.
        model: whose normalisation counts.

    Returns:
        `[N, C, H, W]`.
    """
    if kind == "model-mean":
        if model.mean is None:
            return torch.zeros_like(images)
        return model.mean.to(images).expand_as(images)
    if kind == "blur":
        return _blur(_blur(images).mT).mT
    return baseline_of(images, kind, rng)


def _blur(images: Tensor) -> Tensor:
    """Blurred along the last dimension, with the border reflected; the kernel is cut to what a small image holds."""
    reach = min(KERNEL // 2, images.shape[3] - 1)
    places = torch.arange(-reach, reach + 1).to(images)
    line = (-0.5 * (places / SIGMA) ** 2).exp()
    padded = F.pad(images.flatten(0, 1), (reach, reach), mode="reflect")
    rows = F.conv1d(padded.flatten(0, 1)[:, None], (line / line.sum())[None, None])
    return rows.view(images.shape)
