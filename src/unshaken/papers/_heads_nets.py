"""Networks for the experiment with three heads: five blocks of a convolution, and the same at half the width."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from unshaken.core.classifier import Classifier
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
        share: width as a share of `WIDTHS`.
    """

    def __init__(self, classes: int, channels: int, share: float = 1.0) -> None:
        super().__init__()
        widths = [channels, *(round(w * share) for w in WIDTHS)]
        parts = zip(widths, widths[1:], STRIDES, strict=False)
        self.body = nn.Sequential(*(conv_bn(one, two, stride) for one, two, stride in parts))
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images `[N, C, H, W]` to logits `[N, K]`."""
        logits: Tensor = self.head(self.body(images).mean((2, 3)))
        return logits


def blocks(images: Tensor, classes: int, seed: int, *, share: float = 1.0) -> Classifier:
    """A network with weights drawn from a seed, and the statistics of images inside.

    Args:
        images: uint8 `[N, C, H, W]`.
        classes: number of classes K.
        seed: of the weights.
        share: of the width.
    """
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        net = Blocks(classes, images.shape[1], share)
    some = images[:5000].float() / 255
    return Classifier(net, mean=some.mean((0, 2, 3)).tolist(), std=some.std((0, 2, 3)).clamp(min=1e-3).tolist())


def with_weights(model: Classifier, weights: Mapping[str, Tensor]) -> Classifier:
    """The classifier in evaluation mode with other weights in its net."""
    model.net.load_state_dict(dict(weights))
    return model.eval()
