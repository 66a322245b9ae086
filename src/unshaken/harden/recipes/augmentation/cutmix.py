"""CutMix: paste a box of another image, and share the label by area."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.harden.engine.recipe import Recipe, Step
from unshaken.harden.recipes.augmentation.mixup import batch_generator


def cut_edges(lam: float, centre: int, side: int) -> tuple[int, int]:
    """First row of the box and first row after it: `centre -+ s // 2` with `s = int(sqrt(1 - lam) side)`, clipped.

    Args:
        lam: share of the image that is to stay, in [0, 1].
        centre: in 0..side-1.
        side: height or width in pixels.

    >>> cut_edges(0.5, 16, 32), cut_edges(0.5, 0, 32)
    ((5, 27), (0, 11))
    """
    half = int(math.sqrt(1 - lam) * side) // 2
    return max(0, centre - half), min(side, centre + half)


def cut_batch(
    images: Tensor, targets: Tensor, lam: float, centre: tuple[int, int], partners: Tensor
) -> tuple[Tensor, Tensor, float]:
    """One box for the whole batch, filled from other images of it.

    Args:
        images: `[N, C, H, W]`.
        targets: class probabilities `[N, K]`.
        lam: share of the image that is to stay.
        centre: row and column.
        partners: int64 `[N]`: whose pixels fill the box.

    Returns:
        Images, targets, and the share that really stayed: 1 minus the clipped box's area; it weighs the labels.
    """
    height, width = images.shape[-2:]
    top, bottom = cut_edges(lam, centre[0], height)
    left, right = cut_edges(lam, centre[1], width)
    cut = images.clone()
    cut[..., top:bottom, left:right] = images[partners][..., top:bottom, left:right]
    stayed = 1 - (bottom - top) * (right - left) / (height * width)
    return cut, stayed * targets + (1 - stayed) * targets[partners], stayed


@register("cutmix", reference="Yun et al. 2019, arXiv:1905.04899")
class CutMix(Recipe):
    """CutMix: replaces a box of each image by a box of another image, and mixes their labels."""

    takes: ClassVar[frozenset[str]] = frozenset({"targets"})

    alpha: PositiveFloat = Field(default=1.0, description="parameter of the Beta distribution")
    probability: float = Field(
        default=0.5, ge=0, le=1, description="share of the batches to mix; 0.5 for CIFAR, 1 for ImageNet"
    )

    @override
    def augment(self, step: Step) -> None:
        rng = batch_generator(step, "cutmix")
        if rng.random() >= self.probability:
            return
        height, width = step.images.shape[-2:]
        lam = float(rng.beta(self.alpha, self.alpha))
        centre = int(rng.integers(height)), int(rng.integers(width))
        partners = torch.from_numpy(rng.permutation(len(step.images))).to(step.images.device)
        step.images, step.targets, _ = cut_batch(step.images, step.soft_labels, lam, centre, partners)
