"""Natural shifts of test images, none of which is an edit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.rng import SampleRng

ANGLE, SHEAR, SMALLER, NOISE = 15.0, 15.0, 0.8, 0.1
"""Degrees of rotation, degrees of shear, scale, and deviation of the noise."""


def affine(images: Tensor, matrix: tuple[float, float, float, float]) -> Tensor:
    """Images under a linear map about their centre, black outside.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        matrix: rows of the map from places of the result to places of the image.
    """
    a, b, c, d = matrix
    theta = torch.tensor([[a, b, 0.0], [c, d, 0.0]]).expand(len(images), -1, -1)
    grid = F.affine_grid(theta.to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False).clamp(0, 1)


def by_sign(images: Tensor, rng: SampleRng, value: float, matrix: Callable[[float], tuple[float, ...]]) -> Tensor:
    """A map by a value or its negative, as each image draws."""
    one, other = (affine(images, matrix(v)) for v in (value, -value))  # type: ignore[arg-type]
    return torch.where((rng.uniform() < 0.5).view(-1, 1, 1, 1), one, other)


def rotation(images: Tensor, rng: SampleRng) -> Tensor:
    """Turned by 15 degrees to one side or the other."""
    return by_sign(images, rng, math.radians(ANGLE), lambda v: (math.cos(v), -math.sin(v), math.sin(v), math.cos(v)))


def shear(images: Tensor, rng: SampleRng) -> Tensor:
    """Rows moved by the tangent of 15 degrees to one side or the other."""
    return by_sign(images, rng, math.tan(math.radians(SHEAR)), lambda v: (1.0, v, 0.0, 1.0))


def thickening(images: Tensor, rng: SampleRng) -> Tensor:
    """Bright parts grown by a pixel."""
    return F.max_pool2d(images, 3, 1, 1)


APPLY: Mapping[str, Callable[[Tensor, SampleRng], Tensor]] = {
    "rotation": rotation,
    "shear": shear,
    "scale": lambda images, rng: affine(images, (1 / SMALLER, 0.0, 0.0, 1 / SMALLER)),
    "thickening": thickening,
    "noise": lambda images, rng: (images + NOISE * rng.normal(*images.shape[1:])).clamp(0, 1),
    "dark": lambda images, rng: images / 2,
    "bright": lambda images, rng: (1.5 * images).clamp(0, 1),
    "low-contrast": lambda images, rng: (images + images.mean((2, 3), keepdim=True)) / 2,
}
"""Name to shift, as in `SHIFTS`."""
