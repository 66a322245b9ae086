"""Histograms of oriented gradients, the features made by hand that learned ones are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from unshaken.core.imports import need
from unshaken.tasks.features.transforms import Features


def hog_features(images: Tensor, *, cell: int = 8, bins: int = 9) -> Features:
    """HOG of the luminance, by scikit-image, blocks of 2 x 2 cells.

    Args:
        images: uint8 `[N, C, H, W]`, at least one cell high and wide.
        cell: side of a cell in pixels.
        bins: directions.

    Returns:
        `[N, D]`.

    Raises:
        MissingExtra: scikit-image is absent.
    """
    feature: Any = need("skimage.feature", "scikit-image", "explain", "HOG features")
    grey = (images.float() / 255).mean(1).numpy()
    block = min(2, min(grey.shape[1:]) // cell)
    options = {"orientations": bins, "pixels_per_cell": (cell, cell), "cells_per_block": (block, block)}
    return np.stack([feature.hog(one, **options) for one in grey])
