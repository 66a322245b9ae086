"""What stands in the place of removed pixels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from unshaken.core.classifier import Classifier
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.baselines import baseline_of

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
        sides = [min(KERNEL, 2 * side - 1) for side in images.shape[2:]]  # reflection needs that much of the image
        blurred: Tensor = gaussian_blur(images, sides[::-1], [SIGMA, SIGMA])
        return blurred
    return baseline_of(images, kind, rng)
