"""Noise on halves: learn from one half of an image's pixels with noise, as a dual smoothed classifier asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.certify.smoothing.halves import SIDES, Expansion, Halves, Split, halves
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.recipe import Recipe, Step
from unshaken.harden.recipes.augmentation.gaussian_augmented import with_noise


def noisy_half(images: Tensor, cut: Halves, left: Tensor, sigma: float, rng: SampleRng) -> Tensor:
    """Each image's half with noise on its own pixels alone, laid out as the network's input.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        cut: how images are halved and laid out.
        left: bool `[N]`: whose left half is taken; of the others the right one.
        sigma: standard deviation, in [0, 1] pixel units.
        rng: one stream a sample.

    Returns:
        `[N, C, H, W]`, any value; `images` is left as it is.
    """
    found = torch.empty_like(images)
    for side, chosen in zip(SIDES, (left, ~left), strict=True):
        rows = chosen.nonzero().flatten()
        if len(rows):
            parts = cut.take(images[rows], side)
            found[rows] = cut.expand(with_noise(parts, sigma, rng[rows.to(rng.keys.device)]), side)
    return found


@register("half-noise", reference="Xia et al. 2024, arXiv:2404.09586")
class HalfNoise(Recipe):
    """Gaussian augmentation for dual smoothing: trains on a noisy half of each image's pixels.

    Train a network for each side, or one for both, and certify with `dual-smoothing` at the same split, expansion and
    sigma. The noise is not clipped. Give it after recipes that crop, mirror or mix images, and with `select=last`:
    held-out accuracy is that of whole images without noise.
    """

    refuses: ClassVar[Mapping[str, str]] = {
        "inner": "a search over whole images would clip the noise and see pixels that the half has not",
    }

    side: Literal["left", "right", "both"] = Field(
        default="both", description="which half; both: drawn for each image anew"
    )
    sigma: PositiveFloat = Field(default=0.25, description="deviation of the noise, in [0, 1] pixel units")
    split: Split = Field(default="checkerboard", description="which pixels are the left half")
    split_seed: NonNegativeInt = Field(default=0, description="random seed of the random split")
    expansion: Expansion = Field(default="repeat", description="how a half becomes an image of the network's size")

    @override
    def augment(self, step: Step) -> None:
        rng = step.rng.fold(self.info.name)
        cut = halves(self.split, self.expansion, *step.images.shape[2:], self.split_seed)
        if self.side == "both":
            left = rng.fold("side").fresh(1)[:, 0].to(step.images.device) < 0.5
        else:
            left = torch.full((len(step.images),), self.side == "left", device=step.images.device)
        step.images = noisy_half(step.images, cut, left, self.sigma, rng)
