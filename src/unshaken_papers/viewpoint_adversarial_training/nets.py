"""The network of the experiment: three convolutions with group norm."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

WIDTHS = (16, 48, 64)


def grouped_convs(classes: int, channels: int, side: int) -> nn.Module:
    """Three blocks of a convolution, group norm, ReLU and max-pooling; the mean over places; a linear layer.

    Batch norm would mix the statistics of pictures and rendered views, which differ.

    Args:
        classes: number of logits K.
        channels: of the images.
        side: height and width in pixels; 8 or more.
    """
    layers: list[nn.Module] = []
    for one, two in pairwise((channels, *WIDTHS)):
        layers += [nn.Conv2d(one, two, 3, padding=1, bias=False), nn.GroupNorm(4, two), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], classes))
