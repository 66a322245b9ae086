"""The small network of the experiment with crop selection on CIFAR-10, and the crops that it learns from."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.certify.crops.crop_selection import resize
from unshaken.harden.engine.recipe import Step
from unshaken.harden.recipes.augmentation.crop_flip import CropFlip
from unshaken.models.networks.small import SmallNet
from unshaken_papers.crop_selection import WINDOW


class WindowNet(SmallNet):
    """The net `small` for windows of 28 x 28; of larger images it sees the centre."""

    @override
    def forward(self, images: Tensor) -> Tensor:
        top, left = ((side - WINDOW) // 2 for side in images.shape[2:])
        return super().forward(images[:, :, top : top + WINDOW, left : left + WINDOW])


def window_net(classes: int, channels: int, side: int) -> WindowNet:
    """Build it; the side of the images does not matter."""
    return WindowNet(classes, channels, WINDOW)


class RandomWindows(CropFlip):
    """Square windows at random places, one side a batch, mirrored half the time and resized to 28 x 28."""

    sides: tuple[int, ...] = (WINDOW,)

    @override
    def augment(self, step: Step) -> None:
        down, right, turn, which = step.rng.fold("random-windows").fresh(4).to(step.images.device).unbind(1)
        side = self.sides[int(which[0] * len(self.sides))]
        room = [n - side + 1 for n in step.images.shape[2:]]
        top, left = ((u * n).long() for u, n in zip((down, right), room, strict=True))
        step.images = resize(windows(step.images, top, left, turn < self.mirror, side), (WINDOW, WINDOW))


def windows(images: Tensor, top: Tensor, left: Tensor, mirrored: Tensor, side: int) -> Tensor:
    """Cut a square out of each image, then mirror it left to right.

    Args:
        images: `[N, C, H, W]`.
        top: first row of the window, int64 `[N]`.
        left: as `top`, the first column.
        mirrored: bool `[N]`.
        side: height and width of the window in pixels.

    Returns:
        `[N, C, side, side]`.
    """
    places = torch.arange(side, device=images.device)
    columns = left[:, None] + torch.where(mirrored[:, None], places.flip(0), places)
    rows, sample = top[:, None] + places, torch.arange(len(images), device=images.device)
    cut = images.permute(0, 2, 3, 1)[sample[:, None, None], rows[:, :, None], columns[:, None, :]]
    return cut.permute(0, 3, 1, 2).contiguous()
