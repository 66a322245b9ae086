"""`perceptron`: linear layers with ReLU between them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


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
