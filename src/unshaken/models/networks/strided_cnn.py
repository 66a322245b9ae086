"""A small convolutional network of strided layers only: the quickest of the small nets, for thousands of looks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.models.networks.small import Small, conv_bn


class StridedCNN(Small):
    """Three convolutions of stride 2 and a linear layer, 19,258 parameters at `[1, 28, 28]` and 10 classes.

    Args:
        classes: number of logits K.
        channels: 1 or 3.
        side: height and width of the images in pixels.
    """

    telling = (*Small.telling, "side")

    def __init__(self, classes: int = 10, channels: int = 1, side: int = 28) -> None:
        super().__init__(classes, channels, side)
        self.body = nn.Sequential(conv_bn(channels, 16, 2), conv_bn(16, 32, 2), conv_bn(32, 32, 2))
        self.head = nn.Linear(32 * (-(-side // 8)) ** 2, classes)
        self.register_buffer("side", torch.tensor(side))  # two sides may make the same shapes

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images).flatten(1))
        return logits

    @classmethod
    @override
    def shape_of(cls, weights: Mapping[str, Tensor]) -> tuple[int, int, int | None]:
        return weights["head.weight"].shape[0], weights["body.0.0.weight"].shape[1], int(weights["side"])
