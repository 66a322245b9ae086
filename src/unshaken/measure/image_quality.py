"""Peak signal-to-noise ratio and structural similarity of images and their references."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from unshaken.core.errors import ParameterError

Images = NDArray[Any]
SIDE, SIGMA = 11, 1.5
"""Side and standard deviation of SSIM's Gaussian window, in pixels."""
C1, C2 = 0.01**2, 0.03**2


def psnr(images: Images, references: Images) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio: `10 log10(1 / mean (x - y)^2)` in dB; infinite for equal images.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        references: the same shape.

    Returns:
        `[N]`.

    Raises:
        ParameterError: the shapes differ.

    >>> psnr(np.zeros((1, 1, 2, 2)), np.full((1, 1, 2, 2), 0.1)).round(6)
    array([20.])
    """
    one, other = _pair(images, references)
    error = np.square(one - other).mean((1, 2, 3))
    with np.errstate(divide="ignore"):
        return np.asarray(-10 * np.log10(error), np.float64)


def ssim(images: Images, references: Images) -> NDArray[np.float64]:
    """Structural similarity (SSIM): a Gaussian window of 11 pixels, where it lies inside, the mean over channels.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        references: the same shape.

    Returns:
        `[N]`, at most 1.

    Raises:
        ParameterError: the shapes differ, or the images are smaller than 11 pixels.

    Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861.
    """
    one, other = _pair(images, references)
    if min(one.shape[2:]) < SIDE:
        raise ParameterError(f"ssim: images of {one.shape[2:]} pixels are too small; the minimum is {SIDE} x {SIDE}")
    edge = SIDE // 2
    inside = (slice(None), slice(None), slice(edge, -edge), slice(edge, -edge))

    def local(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(gaussian_filter(values, SIGMA, radius=edge, axes=(2, 3))[inside], np.float64)

    a, b = local(one), local(other)
    va, vb, cov = local(one * one) - a * a, local(other * other) - b * b, local(one * other) - a * b
    similarity = (2 * a * b + C1) * (2 * cov + C2) / ((a * a + b * b + C1) * (va + vb + C2))
    return np.asarray(similarity.mean((1, 2, 3)), np.float64)


def _pair(images: Images, references: Images) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if images.ndim != 4 or images.shape != references.shape:
        raise ParameterError(
            f"images are {images.shape} and references {references.shape}: give both as [N, C, H, W] of one shape"
        )
    return np.asarray(images, np.float64), np.asarray(references, np.float64)
