"""The perceptrons of the experiment with verification, and how they are trained."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

DIGITS: Mapping[str, float] = {"width": 16, "epochs": 60, "lr": 3e-3, "batch_size": 64, "eps": 0.1}
OTHERS: Mapping[str, float] = {"width": 20, "epochs": 8, "lr": 1e-3, "batch_size": 128, "eps": 0.05}
"""Hidden units, training, and the linf radius of adversarial training; at a larger one the 20 units learn nothing."""


def perceptron(classes: int, channels: int, side: int, *, dims: int, width: int) -> nn.Sequential:
    """`dims - width - K` with ReLU, on pixels in [0, 1].

    Args:
        classes: number of classes K.
        channels: of an image; `dims` counts them.
        side: of an image; `dims` counts it.
        dims: numbers in an image.
        width: hidden units.
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(dims, width), nn.ReLU(), nn.Linear(width, classes))
