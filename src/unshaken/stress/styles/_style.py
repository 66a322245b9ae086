"""`Style`: what renderings of a photo in another style share."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Stressor, to_8_bit

REFERENCE = "Mao et al. 2023, arXiv:2307.12730"
AT_ONCE = 2**20
"""Numbers (pixels times channels) rendered at once; at least one image."""


class Style(Stressor):
    """Base class of renderings: a fifth of the way from the photo for each severity, at 5 the rendering itself.

    Filters imitate a style; pictures that people have made in it differ from photos in more than that.
    """

    @override
    def run(self, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        step = max(1, AT_ONCE // images.shape[1:].numel())
        parts = []
        for first in range(0, len(images), step):
            rows = slice(first, first + step)
            drawn = self.render(images[rows], rng[rows]).clamp(0, 1)
            parts.append(to_8_bit(torch.lerp(images[rows], drawn, severity / 5)))
        return torch.cat(parts)

    @abstractmethod
    def render(self, images: Tensor, rng: SampleRng) -> Tensor:
        """Images `[N, C, H, W]` in [0, 1] in the style; the caller clips.

        A sample's result must not depend, to the bit, on who shares the batch.
        """


def coloured(colours: Tensor, channels: int) -> Tensor:
    """Colours of samples `[N, 3]` in a form that broadcasts over images: `[N, C, 1, 1]`, of one channel their grey."""
    if channels == 1:
        weights = colours.new_tensor([0.299, 0.587, 0.114])
        colours = (colours * weights).sum(1, keepdim=True)
    return colours[:, :, None, None]


def between(first: tuple[float, float, float], last: tuple[float, float, float], where: Tensor) -> Tensor:
    """Colours `[N, 3]` on the line between two; `where` is `[N]` in [0, 1]."""
    start, end = where.new_tensor(first), where.new_tensor(last)
    return start + (end - start) * where[:, None]
