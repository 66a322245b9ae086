"""From a value for each channel of a pixel to one value a pixel."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Channels = Literal["mean-abs", "max-abs", "sum"]
"""How the channels of a pixel become one value: mean or maximum of absolute values, or the signed sum."""


def reduce_channels(values: Tensor, channels: Channels) -> Tensor:
    """One value a pixel.

    Args:
        values: `[N, C, H, W]`.
        channels: see `Channels`.

    Returns:
        `[N, H, W]`.

    >>> import torch
    >>> pixel = torch.tensor([1.0, -3.0]).view(1, 2, 1, 1)
    >>> [float(reduce_channels(pixel, way)) for way in ("mean-abs", "max-abs", "sum")]
    [2.0, 3.0, -2.0]
    """
    if channels == "sum":
        return values.sum(1)
    return values.abs().mean(1) if channels == "mean-abs" else values.abs().amax(1)
