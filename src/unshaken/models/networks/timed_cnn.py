"""A small convolutional network whose second input is how noisy the image is."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.models.networks.small import Small

CLEAN = 0.002
"""The least noise level that there is, on images in [-1, 1]."""


def time_embedding(time: Tensor, width: int) -> Tensor:
    """Cosines and sines of `250 log t`, at frequencies from 1 down to 1 / 10,000.

    Args:
        time: noise levels `[N]`, above 0.
        width: numbers an embedding, even.

    Returns:
        Float32 `[N, width]`.
    """
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, device=time.device) / half)
    angles = 250 * time.float().log()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], 1)


def conv_gn(width_in: int, width_out: int, stride: int) -> nn.Sequential:
    """A 3 x 3 convolution, group norm of eight channels a group, and ReLU."""
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 3, stride, 1, bias=False),
        nn.GroupNorm(width_out // 8, width_out),
        nn.ReLU(inplace=True),
    )


class TimedCNN(Small):
    """Three convolutions of stride 2 with group norm, and features to which a vector of the noise level is added.

    51,898 parameters at `[1, 28, 28]` and 10 classes. Called as a classifier it takes its input for clean.
    `features` is what a recipe calls that knows the noise.

    Args:
        classes: number of logits K.
        channels: 1 or 3.
        side: height and width of the images in pixels.
    """

    telling = (*Small.telling, "side")
    width = 64

    def __init__(self, classes: int = 10, channels: int = 1, side: int = 28) -> None:
        super().__init__(classes, channels, side)
        self.body = nn.Sequential(conv_gn(channels, 16, 2), conv_gn(16, 32, 2), conv_gn(32, 32, 2))
        self.flat = nn.Linear(32 * (-(-side // 8)) ** 2, self.width)
        self.time = nn.Linear(self.width, self.width)
        self.norm = nn.LayerNorm(self.width)
        self.head = nn.Linear(self.width, classes)
        self.register_buffer("side", torch.tensor(side))  # two sides may make the same shapes

    def features(self, images: Tensor, time: Tensor) -> Tensor:
        """Scaled noisy images `[N, C, H, W]` and their noise levels `[N]` to `[N, 64]`."""
        flat = self.flat(self.body(images).flatten(1))
        found: Tensor = self.norm(flat + self.time(time_embedding(time, self.width).to(flat)))
        return found

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(images, images.new_full((len(images),), CLEAN)))
        return logits

    @classmethod
    @override
    def shape_of(cls, weights: Mapping[str, Tensor]) -> tuple[int, int, int | None]:
        return weights["head.weight"].shape[0], weights["body.0.0.weight"].shape[1], int(weights["side"])
