"""Renditions that a generator sees, and shifts of test images that it does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from unshaken.core.rng import SampleRng


def edges(images: Tensor) -> Tensor:
    """Magnitude of Sobel's gradient, bright on black."""
    c = images.shape[1]
    kernel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    both = torch.stack([kernel, kernel.T])[:, None].repeat(c, 1, 1, 1)
    found = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), both, groups=c)
    across, down = found[:, ::2], found[:, 1::2]
    return torch.hypot(across, down).div(4).clamp(0, 1)


def textured(images: Tensor) -> Tensor:
    """A pattern of stripes, two pixels wide, darkens images."""
    rows = torch.arange(images.shape[2])[:, None] + torch.arange(images.shape[3])
    return images * (0.4 + 0.6 * (rows // 2 % 2))


def thick(images: Tensor) -> Tensor:
    """Bright parts grown by a pixel."""
    return F.max_pool2d(images, 3, 1, 1)


def thin(images: Tensor) -> Tensor:
    """Bright parts shrunk by a pixel."""
    return -F.max_pool2d(-images, 3, 1, 1)


STYLES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "photo": lambda images: images,
    "edges": edges,
    "textured": textured,
    "thick": thick,
    "thin": thin,
}
"""What the generator sees."""


def sketch(images: Tensor, rng: SampleRng) -> Tensor:
    """Outlines by another operator than `edges`: bright parts grown less bright parts shrunk."""
    return (thick(images) - thin(images)).clamp(0, 1)


def inverted(images: Tensor, rng: SampleRng) -> Tensor:
    """Dark for bright, with noise of deviation 0.1."""
    return (1 - images + 0.1 * rng.normal(*images.shape[1:])).clamp(0, 1)


def rotated(images: Tensor, rng: SampleRng) -> Tensor:
    """Turned by 15 degrees to one side or the other."""
    angle = torch.pi / 12 * (2 * (rng.uniform() < 0.5).float() - 1)
    cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    turn = torch.stack([torch.stack([cos, -sin, none], 1), torch.stack([sin, cos, none], 1)], 1)
    grid = F.affine_grid(turn, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False, padding_mode="border").clamp(0, 1)


def blurred(images: Tensor, rng: SampleRng) -> Tensor:
    """Means of 3 x 3 pixels, twice."""
    for _ in range(2):
        images = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return images


SHIFTS: Mapping[str, Callable[[Tensor, SampleRng], Tensor]] = {
    "sketch": sketch, "inverted": inverted, "rotated": rotated, "blurred": blurred,
}  # fmt: skip
"""What test images are shown in."""
