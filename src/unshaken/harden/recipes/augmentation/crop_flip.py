"""Crop and flip: the standard augmentation of small images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.harden.engine.recipe import Recipe, Step


def crop_flip(images: Tensor, top: Tensor, left: Tensor, mirrored: Tensor, pad: int) -> Tensor:
    """Cut the image's own size out of the image with a black frame, then mirror it left to right.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        top: first row of the cut in the framed image, int64 `[N]` in 0 to `2 pad`; `pad` moves nothing.
        left: as `top`, the first column.
        mirrored: bool `[N]`.
        pad: width of the frame in pixels.

    Returns:
        The same shape.
    """
    height, width = images.shape[2:]
    wide = F.pad(images, (pad, pad, pad, pad)).flatten(2)
    places = torch.arange(width, device=images.device)
    columns = left[:, None] + torch.where(mirrored[:, None], places.flip(0), places)
    rows = top[:, None] + torch.arange(height, device=images.device)
    source = rows[:, :, None] * (width + 2 * pad) + columns[:, None, :]
    return wide.gather(2, source.flatten(1)[:, None].expand(-1, images.shape[1], -1)).view(images.shape)


def random_crop_flip(images: Tensor, rng: SampleRng, pad: int, mirror: float) -> Tensor:
    """A random crop of each image, mirrored or not.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        rng: the samples' streams.
        pad: width of the black frame in pixels; 0 for no crop.
        mirror: probability of the mirror image.

    Raises:
        ParameterError: the frame is as wide as the image.
    """
    side = min(images.shape[2:])
    if pad >= side:
        raise ParameterError(f"pad={pad} would cut images of {side} pixels away: give less")
    down, right, turn = rng.fresh(3).to(images.device).unbind(1)
    top, left = ((u * (2 * pad + 1)).long() for u in (down, right))
    return crop_flip(images, top, left, turn < mirror, pad)


@register("crop-flip", reference="Krizhevsky et al. 2012, doi:10.1145/3065386")
class CropFlip(Recipe):
    """Random crop and horizontal flip: the standard augmentation for small images.

    Give it before recipes that make views of the images, such as `augmix`.
    """

    pad: NonNegativeInt = Field(default=4, description="width of the black frame in pixels; 0 for no crop")
    mirror: float = Field(
        default=0.5, description="probability of the mirror image; 0 where left and right mean something", ge=0, le=1
    )

    @override
    def augment(self, step: Step) -> None:
        step.images = random_crop_flip(step.images, step.rng.fold(self.info.name), self.pad, self.mirror)
