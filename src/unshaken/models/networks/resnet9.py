"""A residual network of nine layers for small photos, which learns CIFAR-10 within hours on two cores."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from typing_extensions import override

from unshaken.models.networks.small import Small, conv_bn


class Residual(nn.Module):
    """Two convolutions of 3 x 3 with batch norm and ReLU, added to what they were given.

    Args:
        width: channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(width, width), conv_bn(width, width))

    @override
    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = images + self.body(images)
        return found


def conv_pool(width_in: int, width_out: int) -> nn.Sequential:
    """A 3 x 3 convolution, the maximum of 2 x 2 places, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 3, 1, 1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(width_out),
        nn.ReLU(inplace=True),
    )


class ResNet9(Small):
    """Eight convolutions, two pairs of them residual, the maximum over places and a linear layer.

    6,573,130 parameters for 3 channels and 10 classes, 379 million products an image of 32 pixels. `body.5` has the 512
    features of each place. An eighth of their maximum goes into the head: undivided, the first steps at usual learning
    rates diverge.

    Args:
        classes: number of logits K.
        channels: 1 or 3.
        side: taken as the other small networks take it; any size of 8 pixels or more will do.

    Source: Page 2018, "How to train your ResNet", https://github.com/davidcpage/cifar10-fast.
    """

    def __init__(self, classes: int = 10, channels: int = 3, side: int = 32) -> None:
        super().__init__(classes, channels, side)
        self.body = nn.Sequential(
            conv_bn(channels, 64),
            conv_pool(64, 128), Residual(128),
            conv_pool(128, 256),
            conv_pool(256, 512), Residual(512),
        )  # fmt: skip
        self.head = nn.Linear(512, classes)

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images).amax((2, 3)) / 8)
        return logits

    @classmethod
    @override
    def shape_of(cls, weights: Mapping[str, Tensor]) -> tuple[int, int, int | None]:
        return weights["head.weight"].shape[0], weights["body.0.0.weight"].shape[1], None
