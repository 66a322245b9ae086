"""Small stacks of convolutions, with batch norm and without; and linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from typing_extensions import override

from unshaken.models.networks.small import conv_bn


class ConvBlocks(nn.Module):
    """Blocks of a convolution, batch norm and ReLU, the mean over places, and a linear layer.

    Args:
        classes: number of logits K.
        channels: of the images.
        side: height and width in pixels; any will do.
        widths: channels of each block.
        strides: of each block.
    """

    def __init__(
        self, classes: int, channels: int, side: int, *, widths: Sequence[int], strides: Sequence[int]
    ) -> None:
        super().__init__()
        parts = zip((channels, *widths), widths, strides, strict=False)
        self.body = nn.Sequential(*(conv_bn(one, two, stride) for one, two, stride in parts))
        self.head = nn.Linear(widths[-1], classes)

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images).mean((2, 3)))
        return logits


class PlainConvs(nn.Sequential):
    """Convolutions with biases and ReLU, max-pooling after the second and the fourth, the mean over places, a head.

    Args:
        classes: number of logits K.
        channels: of the images.
        side: height and width in pixels; any will do.
        widths: channels of each convolution.
    """

    def __init__(
        self, classes: int, channels: int, side: int, *, widths: Sequence[int] = (16, 16, 32, 32, 64, 64)
    ) -> None:
        layers: list[nn.Module] = []
        for i, (one, two) in enumerate(zip((channels, *widths), widths, strict=False)):
            layers += [nn.Conv2d(one, two, 3, 1, 1), nn.ReLU()]
            if i in (1, 3):
                layers.append(nn.MaxPool2d(2))
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


class HiddenConvs(nn.Sequential):
    """Blocks of a convolution, batch norm, ReLU and max-pooling, then a hidden layer on all places.

    The hidden layer has most of the weights: such a net soon memorises its training images.

    Args:
        classes: number of logits K.
        channels: of the images.
        side: height and width in pixels.
        widths: channels of each block.
        hidden: units of the hidden layer.
    """

    def __init__(
        self, classes: int, channels: int, side: int, *, widths: Sequence[int] = (16, 32), hidden: int = 128
    ) -> None:
        layers: list[nn.Module] = []
        for one, two in pairwise((channels, *widths)):
            layers += [nn.Conv2d(one, two, 3, padding=1, bias=False), nn.BatchNorm2d(two), nn.ReLU(), nn.MaxPool2d(2)]
        flat = widths[-1] * (side >> len(widths)) ** 2
        super().__init__(*layers, nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def perceptron(classes: int, channels: int, side: int, *, dims: int, hidden: Sequence[int]) -> nn.Sequential:
    """`dims - hidden - ... - K` with ReLU between layers.

    Args:
        classes: number of classes K.
        channels: of an image; `dims` counts them.
        side: of an image; `dims` counts it.
        dims: numbers in an image.
        hidden: units of each hidden layer.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for one, two in pairwise((dims, *hidden)):
        layers += [nn.Linear(one, two), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear((dims, *hidden)[-1], classes))
