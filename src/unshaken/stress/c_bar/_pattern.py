"""The base of the corruptions of C-bar: one image at a time in float64, as their published code computes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen, widest_float
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Corruption, Severities
from unshaken.stress.engine.filters import luma

REFERENCE = "Mintun et al. 2021, arXiv:2102.11273"


def severities(*, imagenet: Sequence[float] = (), cifar: Sequence[float] = ()) -> Severities:
    """The authors' strengths v, from 0 to 10; lengths scale with the image.

    A corruption that stands in one of the two sets alone has its strengths for all sizes; images of 64 pixels take
    those for 32.
    """
    large, small = tuple(imagenet or cifar), tuple(cifar or imagenet)
    return Severities(imagenet=large, cifar=small, tiny=small)


class PatternCorruption(Corruption):
    """A corruption of C-bar: every image has draws of its own, and is computed alone."""

    @override
    def corrupt(self, images: Tensor, c: float, rng: SampleRng) -> Tensor:
        changed = [self.corrupt_one(widen(image), c, rng[i : i + 1]) for i, image in enumerate(images)]
        return torch.stack(changed).to(images)

    @abstractmethod
    def corrupt_one(self, image: Tensor, v: float, rng: SampleRng) -> Tensor:
        """One image, float64 `[C, H, W]` in [0, 1], at strength v; the caller clips.

        Args:
            image: with 1 or 3 channels.
            v: from 0 to 10.
            rng: the stream of this one sample.
        """


def draw(rng: SampleRng, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Float64 of a shape, uniform in [low, high), for one sample and one named use."""
    return widen(rng.fold(name).uniform(*shape)[0]) * (high - low) + low


def places(image: Tensor) -> tuple[Tensor, Tensor]:
    """Rows `[H, 1]` and columns `[1, W]` of an image, float64 pixels."""
    height, width = image.shape[-2:]
    rows = torch.arange(height, dtype=widest_float(image.device), device=image.device)
    return rows[:, None], torch.arange(width, dtype=widest_float(image.device), device=image.device)[None]


def side(image: Tensor) -> int:
    """The image's short side in pixels: the unit of all lengths."""
    return min(image.shape[-2:])


def in_channels(pattern: Tensor, channels: int) -> Tensor:
    """A pattern of three colours for a grey image: its luma."""
    return pattern if channels == 3 else luma(pattern[None])[0]


def sample_bilinear(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Read an image at places between its pixels; beyond the border everything is black.

    Args:
        image: float64 `[C, H, W]`.
        rows: float64 `[H, W]`, pixels from the top.
        columns: as `rows`, from the left.

    Returns:
        `[C, H, W]`.
    """
    height, width = image.shape[1:]
    grid = torch.stack([columns * (2 / (width - 1)) - 1, rows * (2 / (height - 1)) - 1], -1)
    return torch.nn.functional.grid_sample(image[None], grid[None], padding_mode="zeros", align_corners=True)[0]
