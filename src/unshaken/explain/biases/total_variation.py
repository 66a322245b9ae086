"""Total variation: how much neighbouring values of a map differ."""

from __future__ import annotations

from torch import Tensor

from unshaken.core.errors import DataError


def total_variation(maps: Tensor) -> Tensor:
    """`sum |a[i+1, j] - a[i, j]| + sum |a[i, j+1] - a[i, j]|` of each map.

    Args:
        maps: `[..., H, W]`.

    Returns:
        `[...]`. It grows with the scale of the map, not with a constant added to it.

    >>> import torch
    >>> float(total_variation(torch.tensor([[1.0, 2, 4], [0, 0, 3], [5, 1, 1]])))
    22.0
    """
    down = maps.diff(dim=-2).abs().sum((-2, -1))
    return down + maps.diff(dim=-1).abs().sum((-2, -1))


def kernel_variation(kernels: Tensor) -> Tensor:
    """The total variation of filters, each of norm 1 over its channels and places.

    Args:
        kernels: weights of a convolution, `[D, C, h, w]`.

    Returns:
        `[D]`, summed over channels; 0 for a filter of zeros.

    Raises:
        DataError: the kernels have one place only, in which nothing can vary.
    """
    if kernels.ndim != 4 or kernels.shape[2] * kernels.shape[3] < 2:
        raise DataError(f"kernels of shape {tuple(kernels.shape)} have no neighbours: take a larger convolution")
    norm = kernels.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]
    return total_variation(kernels / norm).sum(1)
