"""Noise: learn from images with normal noise."""

from __future__ import annotations

import torch
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.recipe import Recipe, Step
from unshaken.stress.corruptions.gaussian_noise import unit_normal


def noisy(images: Tensor, sd: Tensor, rng: SampleRng) -> Tensor:
    """`clip(x + sd n)` with n standard normal, each image with its own deviation.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        sd: deviations `[N]`, in [0, 1] pixel units; an image with 0 stays as it is.
        rng: one stream a sample.

    Returns:
        The same shape, in [0, 1]; `images` is left as it is.
    """
    rows = (sd > 0).nonzero().flatten()
    draws = unit_normal(rng[rows], *images.shape[1:])
    found = images.clone()
    found[rows] = draws.to(images).mul_(sd[rows].view(-1, 1, 1, 1)).add_(images[rows]).clamp_(0, 1)
    return found


@register("noise", reference="Rusak et al. 2020, arXiv:2001.06057")
class Noise(Recipe):
    """Noise augmentation: adds Gaussian noise of fixed or random strength to a share of the images."""

    sigma: PositiveFloat = Field(
        default=0.2, description="deviation of the noise, in [0, 1] pixel units; the largest one where one is drawn"
    )
    least: float = Field(
        default=-1.0, description="smallest deviation, for one drawn evenly up to it; below 0: always sigma"
    )
    share: float = Field(default=1.0, ge=0, le=1, description="probability that an image gets noise")

    @model_validator(mode="after")
    def _fits(self) -> Noise:
        if self.least > self.sigma:
            raise ValueError(f"least={self.least} is above sigma={self.sigma}")
        return self

    @override
    def augment(self, step: Step) -> None:
        rng = step.rng.fold("noise")
        draws = rng.fold("strength").fresh(2)
        low = self.sigma if self.least < 0 else self.least
        sd = torch.where(draws[:, 0] < self.share, low + (self.sigma - low) * draws[:, 1], 0.0)
        step.images = noisy(step.images, sd.to(step.images), rng)
