"""A small convolutional network that pools over places, for images of any size."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from typing_extensions import override

from unshaken.models.networks.small import Small, conv_bn


class SmallCNN(Small):
    """Four convolutions, the mean over places and a linear layer, 52,110 parameters for 3 channels and 10 classes.

    Args:
        classes: number of logits K.
        channels: 1 or 3.
        side: taken as the other small networks take it; any size will do.
    """

    def __init__(self, classes: int = 10, channels: int = 3, side: int = 32) -> None:
        super().__init__(classes, channels, side)
        self.body = nn.Sequential(conv_bn(channels, 20), conv_bn(20, 40, 2), conv_bn(40, 40), conv_bn(40, 80, 2))
        self.head = nn.Linear(80, classes)

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images).mean((2, 3)))
        return logits

    @classmethod
    @override
    def shape_of(cls, weights: Mapping[str, Tensor]) -> tuple[int, int, int | None]:
        return weights["head.weight"].shape[0], weights["body.0.0.weight"].shape[1], None
