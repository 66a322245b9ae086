"""Encoders of the experiment, the images that captions describe, and a head for fine-tuning."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.registry import Method
from unshaken.harden.engine.recipe import Step
from unshaken.harden.recipes.augmentation.crop_flip import random_crop_flip
from unshaken.models.networks.architectures import build
from unshaken.tasks.zero_shot.training import REFERENCE, CaptionedNet, ImageText

ATTRIBUTES = ("", "grey ", "small ", "small grey ")
"""What a caption says of colour and size; the place of each in binary: grey is 1, small is 2."""
SHARE = 0.25
"""Of the images that are made grey, and of those that are made small."""


def captioned(classes: int, channels: int, side: int, *, arch: str, dimensions: int, scale: float) -> CaptionedNet:
    """A network whose outputs are embeddings, whatever the number of classes."""
    return CaptionedNet(build(arch, classes=dimensions, channels=channels, side=side), scale=scale)


class DescribedImages(ImageText):
    """`ImageText` on images that are cropped and mirrored, and some made grey or small, as their captions say.

    `captions` is in order of templates, and of `ATTRIBUTES` within each. `styled` changes the colours of half of the
    images as well, which no caption names.
    """

    info: ClassVar[Method]

    styled: bool = False

    @override
    def augment(self, step: Step) -> None:
        images = random_crop_flip(step.images, step.rng.fold("crop-flip"), 2, 0.5)
        grey, small, template, style = step.rng.fold("described").fresh(4).to(images.device).unbind(1)
        if self.styled:
            images = torch.where((style < 0.5)[:, None, None, None], stylised(images), images)
        is_grey, is_small = grey < SHARE, small < SHARE
        images = torch.where(is_grey[:, None, None, None], greyed(images), images)
        step.images = torch.where(is_small[:, None, None, None], shrunk(images), images)
        templates = self.captions.shape[1] // len(ATTRIBUTES)
        which = (template * templates).long().clamp(max=templates - 1)
        step.extra["caption"] = which * len(ATTRIBUTES) + is_grey.long() + 2 * is_small.long()


DescribedImages.info = Method("described-images", "harden", DescribedImages, REFERENCE)


def greyed(images: Tensor) -> Tensor:
    """The mean of the channels in each of them."""
    return images.mean(1, keepdim=True).expand_as(images)


def shrunk(images: Tensor) -> Tensor:
    """Half as high and wide, in the middle of the image's own mean colour."""
    height, width = images.shape[2] // 2, images.shape[3] // 2
    found = images.mean((2, 3), keepdim=True).expand_as(images).clone()
    top, left = (images.shape[2] - height) // 2, (images.shape[3] - width) // 2
    small = F.interpolate(images, (height, width), mode="area")
    found[:, :, top : top + height, left : left + width] = small
    return found


def stylised(images: Tensor) -> Tensor:
    """Channels in another order, and four levels of each."""
    return (images.flip(1) * 3).round() / 3


class Headed(nn.Module):
    """An image encoder with a linear head on its unit embeddings, which begins as the zero-shot classifier.

    Args:
        net: the encoder.
        weights: `[K, D]`, the classes' vectors times the model's scale.
    """

    def __init__(self, net: nn.Module, weights: Tensor) -> None:
        super().__init__()
        self.net = net
        self.head = nn.Linear(weights.shape[1], weights.shape[0])
        with torch.no_grad():
            self.head.weight.copy_(weights)
            self.head.bias.zero_()

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(F.normalize(self.net(images), dim=1))
        return logits
