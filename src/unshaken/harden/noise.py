"""Noise: learn from images with normal noise."""

from __future__ import annotations

import torch
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.harden.recipe import Recipe, Step


def noisy(images: Tensor, sd: Tensor, rng: SampleRng) -> Tensor:
    """`clip(x + sd n)` with n standard normal, each image with its own deviation.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        sd: deviations `[N]` in units of the pixel range; an image with 0 stays as it is.
        rng: one stream a sample.

    Returns:
        The same shape, in [0, 1]; `images` is left as it is.
    """
    rows = (sd > 0).nonzero().flatten()
    some = images[rows]
    half = (some[0].numel() + 1) // 2 if len(rows) else 0
    uniform = rng[rows].fresh(2 * half).view(len(rows), 2, half)
    radius = (-2 * torch.log1p(-uniform[:, 0])).sqrt()  # Box and Muller: two normal draws of two uniform ones
    angle = 2 * torch.pi * uniform[:, 1]
    draws = torch.cat([radius * angle.cos(), radius * angle.sin()], 1)[:, : some[0].numel() if len(rows) else 0]
    found = images.clone()
    found[rows] = (some + sd[rows].view(-1, 1, 1, 1) * draws.view(some.shape)).clamp(0, 1)
    return found


@register("noise", reference="Rusak et al. 2020, arXiv:2001.06057")
class Noise(Recipe):
    """Normal noise of a deviation, or of one drawn for each image, on a share of the images."""

    sd: PositiveFloat = Field(
        0.2, description="deviation in units of the pixel range; the largest one where one is drawn"
    )
    least: float = Field(-1.0, description="smallest deviation, for one drawn evenly up to sd; below 0: always sd")
    share: float = Field(1.0, ge=0, le=1, description="of the images that get noise, each by its own draw")

    @model_validator(mode="after")
    def _fits(self) -> Noise:
        if self.least > self.sd:
            raise ValueError(f"least={self.least} is above sd={self.sd}")
        return self

    def augment(self, step: Step) -> None:
        """Noise on each image by its own stream."""
        rng = step.rng.fold("noise")
        draws = rng.fold("strength").fresh(2)
        low = self.sd if self.least < 0 else self.least
        sd = torch.where(draws[:, 0] < self.share, low + (self.sd - low) * draws[:, 1], 0.0)
        step.images = noisy(step.images, sd.to(step.images), rng)
