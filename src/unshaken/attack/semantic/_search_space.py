"""`SearchSpace`: what a search changes: pixels, or parameters of a family of transformations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from unshaken.core.boxes import boxed
from unshaken.core.rng import SampleRng

LIMITS = {
    "angle": math.radians(30), "right": 0.3, "down": 0.3, "zoom": 0.3, "brightness": 0.3, "contrast": 0.7,
    "saturation": 0.9, "sharpness": 0.9,
}  # fmt: skip
"""What a parameter of 1 means: radians; shares of half the side; logarithms of scale and of contrast; a pixel's value;
shares by which colours differ more from grey, and images from their blurred copy."""
GREY = (0.299, 0.587, 0.114)
FLAT = 1 / 255
"""Least deviation that a step is measured in, so that a flat image can be left."""


class SearchSpace(ABC):
    """Images as codes: a search moves in codes and looks at images."""

    @abstractmethod
    def start(self, images: Tensor, rng: SampleRng) -> Tensor:
        """Codes `[N, ...]` of images `[N, C, H, W]` in [0, 1].

        Raises:
            ModelError: the generator is for other images, or gives NaN.
        """

    @abstractmethod
    def render(self, codes: Tensor, images: Tensor) -> Tensor:
        """The images `[N, C, H, W]` in [0, 1] of codes; gradients by the codes pass through.

        Args:
            codes: `[N, ...]`.
            images: the unchanged images.
        """

    def to(self, device: torch.device) -> SearchSpace:
        """The same space on a device."""
        return self

    def project(self, codes: Tensor) -> Tensor:
        """The nearest codes that are allowed."""
        return codes

    def scale(self, codes: Tensor) -> Tensor:
        """The unit of a step, `[N]`: the deviation of each image's own start code."""
        return codes.flatten(1).std(1, correction=0).clamp_min(FLAT)

    def penalty(self, images: Tensor) -> Tensor | None:
        """What a natural image has little of, `[N]`; None for nothing."""
        return None


def total_variation(images: Tensor) -> Tensor:
    """The mean absolute difference of pixels that are neighbours, down and right, `[N]`.

    >>> total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])).tolist()
    [1.0]
    """
    down, right = images.diff(dim=2), images.diff(dim=3)
    return down.abs().flatten(1).sum(1) / max(1, down[0].numel()) + right.abs().flatten(1).sum(1) / max(
        1, right[0].numel()
    )


class PixelSpace(SearchSpace):
    """The pixels themselves, with total variation as the prior.

    Args:
        weight: of the total variation in what is made small, in nats.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight

    @override
    def start(self, images: Tensor, rng: SampleRng) -> Tensor:
        return images

    @override
    def render(self, codes: Tensor, images: Tensor) -> Tensor:
        return boxed(codes)

    @override
    def project(self, codes: Tensor) -> Tensor:
        return codes.clamp(0, 1)

    @override
    def penalty(self, images: Tensor) -> Tensor | None:
        return self.weight * total_variation(images) if self.weight else None


class TransformationSpace(SearchSpace):
    """Rotation, shift, zoom, brightness, contrast, saturation and sharpness: eight numbers in [-1, 1], at first 0."""

    @override
    def start(self, images: Tensor, rng: SampleRng) -> Tensor:
        return images.new_zeros(len(images), len(LIMITS))

    @override
    def render(self, codes: Tensor, images: Tensor) -> Tensor:
        return transformed(images, codes)

    @override
    def project(self, codes: Tensor) -> Tensor:
        return codes.clamp(-1, 1)

    @override
    def scale(self, codes: Tensor) -> Tensor:
        return torch.ones_like(codes[:, 0])


def transformed(images: Tensor, amounts: Tensor) -> Tensor:
    """Images turned, shifted and zoomed about their centre with the border repeated, then changed in colour.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        amounts: `[N, 8]` in [-1, 1], in the order and the units of `LIMITS`; 0 changes nothing.

    Returns:
        The same shape, in [0, 1]; differentiable by the amounts.
    """
    limits = torch.tensor(list(LIMITS.values()), device=amounts.device, dtype=amounts.dtype)
    angle, right, down, zoom, brightness, contrast, saturation, sharpness = (amounts * limits).unbind(1)
    ratio = images.shape[2] / images.shape[3]
    cos, sin, size = angle.cos(), angle.sin(), (-zoom).exp()
    rows = [cos * size, sin * size * ratio, -right, -sin * size / ratio, cos * size, -down]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    wide = (-1, 1, 1, 1)
    mean = moved.mean((2, 3), keepdim=True)
    x = (moved - mean) * contrast.exp().view(wide) + mean + brightness.view(wide)
    if images.shape[1] == 3:
        grey = (x * x.new_tensor(GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
        x = grey + (1 + saturation.view(wide)) * (x - grey)
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return boxed(blurred + (1 + sharpness.view(wide)) * (x - blurred))
