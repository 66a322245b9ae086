"""The network that is pretrained: three strided convolutions and the mean over places, for crops of any size."""

from __future__ import annotations

from torch import Tensor, nn
from typing_extensions import override

from unshaken.models.networks.small import conv_bn


class StridedMean(nn.Module):
    """About 93,000 weights before the head.

    Args:
        classes: number of logits K.
        channels: 1 or 3.
        side: as other builders take it; any size will do.
    """

    def __init__(self, classes: int, channels: int, side: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(channels, 32, 2), conv_bn(32, 64, 2), conv_bn(64, 128, 2))
        self.head = nn.Linear(128, classes)

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images).mean((2, 3)))
        return logits
