"""How smooth the kernels of a layer are; that of activation maps is `unshaken explain smoothness`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
