"""Small reference networks, quick enough to train and attack on a laptop."""

from __future__ import annotations

from torch import Tensor, nn


def conv_bn(width_in: int, width_out: int, stride: int = 1) -> nn.Sequential:
    """A 3 x 3 convolution, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 3, stride, 1, bias=False), nn.BatchNorm2d(width_out), nn.ReLU(inplace=True)
    )


class SmallNet(nn.Module):
    """Four convolutions and a linear layer for small images, 64,618 parameters at `[1, 28, 28]`.

    Args:
        classes: number of logits K.
        channels: 1 or 3.
        side: height and width of the images in pixels, a multiple of 4.
    """

    def __init__(self, classes: int = 10, channels: int = 1, side: int = 28) -> None:
        super().__init__()
        self.body = nn.Sequential(conv_bn(channels, 16), conv_bn(16, 32, 2), conv_bn(32, 32), conv_bn(32, 64, 2))
        self.head = nn.Linear(64 * (side // 4) ** 2, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images `[N, C, H, W]` to logits `[N, K]`."""
        logits: Tensor = self.head(self.body(images).flatten(1))
        return logits
