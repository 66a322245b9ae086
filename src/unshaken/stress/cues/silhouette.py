"""Silhouette: the object in one grey on a plain ground, so that its outline stays and all inside goes."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen, widest_float
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Stressor, to_8_bit
from unshaken.stress.engine.filters import luma

LEVELS = 256
Tone = Literal["black", "white"]


def silhouette(images: Tensor, object_tone: Tone = "black") -> Tensor:
    """Two tones: Otsu's threshold divides the greys, and what most of the border belongs to is the ground.

    Args:
        images: float32 `[N, C, H, W]` in [0, 1].
        object_tone: of the object; the ground gets the other one.

    Returns:
        The same shape, of the values 0 and 1 alone; an image of one grey is all ground.
    """
    front = foreground(images)
    front = front if object_tone == "white" else ~front
    return front.to(images.dtype).expand_as(images).contiguous()


def foreground(images: Tensor) -> Tensor:
    """The side of Otsu's threshold that the smaller part of the border belongs to: bool `[N, 1, H, W]`."""
    grey = (luma(images) * (LEVELS - 1)).round().long()
    bright = grey > otsu(grey)[:, None, None, None]
    border = torch.ones_like(bright[:1])
    border[:, :, 1:-1, 1:-1] = False
    ground = (bright & border).sum((1, 2, 3), keepdim=True) * 2 > border.sum()
    return bright ^ ground


def otsu(grey: Tensor) -> Tensor:
    """The grey level that divides each image's pixels into the two sets of least variance inside.

    Args:
        grey: int64 `[N, 1, H, W]` from 0 to 255.

    Returns:
        int64 `[N]`: levels above it are bright. Of one grey, that grey.

    Source: Otsu 1979, IEEE Transactions on Systems, Man, and Cybernetics 9(1).
    """
    levels = torch.arange(LEVELS, device=grey.device, dtype=widest_float(grey.device))
    counts = widen(torch.stack([torch.bincount(one.flatten(), minlength=LEVELS) for one in grey]))
    below, total = counts.cumsum(1), counts.sum(1, keepdim=True)
    sums = (counts * levels).cumsum(1)
    above = total - below
    apart = (sums * above - (sums[:, -1:] - sums) * below) ** 2 / (below * above).clamp(min=1)
    best = apart.argmax(1)
    flat = apart.amax(1) == 0
    return torch.where(flat, grey.flatten(1).amax(1), best)


@register("silhouette", reference="Geirhos et al. 2019, arXiv:1811.12231", group="cues")
class Silhouette(Stressor):
    """Silhouette: fades a picture into the black outline of its object on a white ground; texture goes.

    The object is found by its grey alone (Otsu's threshold), which suits plain grounds.
    """

    object_tone: Tone = Field(
        default="black", description="tone of the object, black or white; the ground has the other"
    )

    @override
    def run(self, images: Tensor, severity: int, rng: SampleRng) -> Tensor:
        return to_8_bit(torch.lerp(images, silhouette(images, self.object_tone), severity / 5))
