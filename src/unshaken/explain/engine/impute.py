"""Noisy linear imputation: removed pixels become the weighted mean of their neighbours, and a little noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

DIRECT, DIAGONAL = 1 / 6, 1 / 12
"""Weights of a pixel's neighbours."""


def impute(image: Tensor, missing: Tensor) -> Tensor:
    """Fill pixels so that each is the weighted mean of its neighbours: one sparse system for all of them.

    A direct neighbour weighs 1/6, a diagonal one 1/12; those of a pixel at the border, which has fewer, are scaled up.
    Where every pixel is missing, all become 0.

    Args:
        image: float `[C, H, W]`.
        missing: bool `[H, W]`.

    Returns:
        `[C, H, W]`.

    Source: Rong et al. 2022, arXiv:2202.00449.
    """
    gone = missing.flatten().cpu().numpy()
    if gone.all() or not gone.any():
        return torch.zeros_like(image) if gone.all() else image
    weights = _neighbours(*missing.shape)
    pixels = image.flatten(1).cpu().double().numpy()
    inner, outer = weights[gone][:, gone], weights[gone][:, ~gone]
    total = np.asarray(weights[gone].sum(1)).ravel()
    system = scipy.sparse.csc_array(scipy.sparse.diags_array(total) - inner)
    pixels[:, gone] = scipy.sparse.linalg.splu(system).solve(outer @ pixels[:, ~gone].T).T
    return torch.from_numpy(pixels).view_as(image).to(image)


@lru_cache(maxsize=4)
def _neighbours(height: int, width: int) -> scipy.sparse.csr_array:
    """The weights of each pixel's neighbours, `[H W, H W]`."""
    place: NDArray[np.int64] = np.arange(height * width).reshape(height, width)
    rows, columns, values = [], [], []
    for down, across, weight in ((0, 1, DIRECT), (1, 0, DIRECT), (1, 1, DIAGONAL), (1, -1, DIAGONAL)):
        one = place[: height - down, max(0, -across) : width - max(0, across)].ravel()
        other = place[down:, max(0, across) : width + min(0, across)].ravel()
        rows += [one, other]
        columns += [other, one]
        values.append(np.full(2 * len(one), weight))
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return scipy.sparse.csr_array(entries, shape=(height * width, height * width))
