"""Networks for the experiment with three heads: five blocks of a convolution, and the same at half the width."""

from __future__ import annotations

from torch import Tensor, nn

from unshaken.models.networks.small import conv_bn

WIDTHS = (20, 40, 40, 80, 80)
STRIDES = (1, 2, 1, 2, 1)
SECTION = "body.3+body.4+head"
"""What has copies: the last two blocks and the classifier."""


class Blocks(nn.Module):
    """Five blocks of a convolution, batch norm and ReLU, the mean over places, and a linear layer.

    Args:
        classes: number of logits K.
        channels: of the images.
        side: height and width in pixels; any will do.
        share: width as a share of `WIDTHS`.
    """

    def __init__(self, classes: int, channels: int, side: int, *, share: float = 1.0) -> None:
        super().__init__()
        widths = [channels, *(round(w * share) for w in WIDTHS)]
        parts = zip(widths, widths[1:], STRIDES, strict=False)
        self.body = nn.Sequential(*(conv_bn(one, two, stride) for one, two, stride in parts))
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images `[N, C, H, W]` to logits `[N, K]`."""
        logits: Tensor = self.head(self.body(images).mean((2, 3)))
        return logits
