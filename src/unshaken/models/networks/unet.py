"""A small U-Net: a class for each pixel, for images of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.models.networks.small import Small, conv_bn


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
