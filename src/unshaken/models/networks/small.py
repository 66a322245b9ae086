"""Small reference networks, quick enough to train and attack on a laptop."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from typing_extensions import override


def conv_bn(width_in: int, width_out: int, stride: int = 1) -> nn.Sequential:
    """A 3 x 3 convolution, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 3, stride, 1, bias=False), nn.BatchNorm2d(width_out), nn.ReLU(inplace=True)
    )


class Small(nn.Module):
    """A net of this package; what it was built with can be read off its weights.

    Args:
        classes: number of logits K.
        channels: 1 or 3.
        side: height and width of the images in pixels.
    """

    telling: ClassVar[tuple[str, ...]] = ("head.weight", "body.0.0.weight")
    """Keys of the weights that `shape_of` looks at."""

    def __init__(self, classes: int, channels: int, side: int) -> None:
        super().__init__()

    @classmethod
    @abstractmethod
    def shape_of(cls, weights: Mapping[str, Tensor]) -> tuple[int, int, int | None]:
        """Classes, channels and side of the net that such weights are of; the side is None where any will do."""


class SmallNet(Small):
    """Four convolutions and a linear layer for small images, 64,618 parameters at `[1, 28, 28]`.

    Args:
        classes: number of logits K.
        channels: 1 or 3.
        side: height and width of the images in pixels, a multiple of 4.
    """

    def __init__(self, classes: int = 10, channels: int = 1, side: int = 28) -> None:
        super().__init__(classes, channels, side)
        self.body = nn.Sequential(conv_bn(channels, 16), conv_bn(16, 32, 2), conv_bn(32, 32), conv_bn(32, 64, 2))
        self.head = nn.Linear(64 * (side // 4) ** 2, classes)

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images).flatten(1))
        return logits

    @classmethod
    @override
    def shape_of(cls, weights: Mapping[str, Tensor]) -> tuple[int, int, int | None]:
        head = weights["head.weight"]
        return head.shape[0], weights["body.0.0.weight"].shape[1], 4 * round((head.shape[1] / 64) ** 0.5)
