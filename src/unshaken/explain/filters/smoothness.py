"""Total variation: of kernels, and of channels of activation maps."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def kernel_variation(weight: NDArray[np.float64]) -> float | None:
    """Mean total variation of the kernels, each scaled to length 1: small for smooth ones, large for noise.

    The total variation of a kernel is the sum of the absolute differences of neighbours, down and across. A constant
    kernel has 0; a checkerboard of 3 x 3 has 8.

    Args:
        weight: `[outputs, inputs, height, width]`.

    Returns:
        The mean over kernels that are not 0; None where all are.

    >>> kernel_variation(np.ones((1, 1, 3, 3)))
    0.0
    """
    kernels = weight.reshape(-1, *weight.shape[2:])
    largest = np.abs(kernels).max((1, 2))
    kernels = kernels[largest > 0] / largest[largest > 0, None, None]
    if not len(kernels):
        return None
    variation = np.abs(np.diff(kernels, axis=1)).sum((1, 2)) + np.abs(np.diff(kernels, axis=2)).sum((1, 2))
    return float((variation / np.sqrt((kernels**2).sum((1, 2)))).mean())


def channel_variation(maps: Tensor) -> Tensor:
    """Total variation of each channel of activation maps, a place, relative to the channel's mean absolute value.

    Args:
        maps: `[N, D, h, w]`.

    Returns:
        Float64 `[N, D]`: mean absolute difference of neighbours over mean absolute value; NaN for a channel of zeros.
    """
    each = maps.double()
    steps = [each.diff(dim=d).abs().flatten(2) for d in (2, 3)]
    places = torch.cat(steps, 2)
    difference = places.mean(2) if places.shape[2] else each.new_zeros(each.shape[:2])
    return difference / each.abs().mean((2, 3))
