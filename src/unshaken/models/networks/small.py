"""Small reference networks of convolutions, quick enough to train and attack on a laptop."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
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


class UNet(Small):
    """Convolutions at ever coarser scales, and back up by bilinear resizing beside what was seen at each scale.

    29,813 parameters for 1 channel, 5 classes and the default widths.

    Args:
        classes: number of logits K of a pixel.
        channels: 1 or 3.
        side: taken as the other small networks take it; any size of `2 ** (len(widths) - 1)` pixels or more will do.
        widths: channels at each scale, the finest first; each scale has half the size of the one before.

    Source: Ronneberger et al. 2015, arXiv:1505.04597.
    """

    task: ClassVar[str] = "segmentation"
    telling = ("head.weight", "down.0.0.0.weight")

    def __init__(
        self, classes: int = 2, channels: int = 3, side: int = 32, *, widths: Sequence[int] = (8, 16, 32)
    ) -> None:
        super().__init__(classes, channels, side)
        steps = list(zip((channels, *widths), widths, strict=False))
        self.down = nn.ModuleList(nn.Sequential(conv_bn(a, b), conv_bn(b, b)) for a, b in steps)
        back = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.Sequential(conv_bn(a + b, b), conv_bn(b, b)) for a, b in back)
        self.head = nn.Conv2d(widths[0], classes, 1)

    @override
    def forward(self, images: Tensor) -> Tensor:
        skips: list[Tensor] = []
        x = images
        for number, block in enumerate(self.down):
            x = block(x if not number else F.max_pool2d(x, 2))
            skips.append(x)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            x = F.interpolate(x, skip.shape[2:], mode="bilinear", align_corners=True)
            x = block(torch.cat([skip, x], 1))
        logits: Tensor = self.head(x)
        return logits

    @classmethod
    @override
    def shape_of(cls, weights: Mapping[str, Tensor]) -> tuple[int, int, int | None]:
        return weights["head.weight"].shape[0], weights["down.0.0.0.weight"].shape[1], None
