"""Defocus blur."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.ndimage import correlate1d
from torch import Tensor
from typing_extensions import override

from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.stress.engine.base import Corruption, Severities


def defocus_blur(images: Tensor, radius: float, alias: float) -> Tensor:
    """Correlate with a smoothed disk, the picture mirrored about its outermost pixels.

    One FFT a sample: its time does not depend on the radius.

    Args:
        images: float32 `[N, C, H, W]`.
        radius: of the disk, in pixels.
        alias: standard deviation in pixels of the smoothing.

    Returns:
        The same shape, not clipped; the widest disks brighten by about 1 %.
    """
    height, width = images.shape[2:]
    reach = len(disk(radius, alias)) // 2
    size = [next_fast_len(side + 2 * reach, real=True) for side in (height, width)]
    spectrum = torch.from_numpy(_spectrum(radius, alias, size[0], size[1])).to(images.device)
    result = torch.empty_like(images)
    for image, out in zip(images, result, strict=True):
        product = torch.fft.rfft2(_mirrored(image, reach), s=size).mul_(spectrum)
        out.copy_(torch.fft.irfft2(product, s=size)[:, :height, :width])
    return result


@lru_cache(maxsize=32)
def disk(radius: float, alias: float) -> NDArray[np.float64]:
    """The point spread: a disk of sum 1 on a grid, smoothed by a small Gaussian that the grid's border mirrors.

    The grid is 17 pixels wide, or as wide as a larger disk, and the Gaussian 3 (5) wide. Where the disk touches the
    border, mirroring adds weight: the sum is 1.0130 at radius 8 and 1.0108 at 10, as in the original.

    Args:
        radius: of the disk, in pixels.
        alias: standard deviation in pixels of the Gaussian.

    Returns:
        A square of odd side, its empty margin cut away.
    """
    reach = 8 if radius <= 8 else int(radius)
    line = np.arange(-reach, reach + 1)
    spread = (line[:, None] ** 2 + line**2 <= radius**2).astype(np.float64)
    spread /= spread.sum()
    near = np.arange(-1, 2) if radius <= 8 else np.arange(-2, 3)
    gauss = np.exp(-(near**2) / (2 * alias**2))
    gauss /= gauss.sum()
    for axis in (0, 1):
        spread = correlate1d(spread, gauss, axis=axis, mode="mirror")
    margin = int(np.flatnonzero(spread[reach] > 1e-12)[0])
    return spread[margin : len(spread) - margin, margin : len(spread) - margin]


@lru_cache(maxsize=8)
def _spectrum(radius: float, alias: float, height: int, width: int) -> NDArray[np.complex64]:
    """The disk's transform, which multiplies the picture's to correlate the two."""
    return np.conj(np.fft.rfft2(disk(radius, alias), s=(height, width))).astype(np.complex64)


def _mirrored(image: Tensor, reach: int) -> Tensor:
    """A picture `[C, H, W]` continued by `reach` pixels, its border not repeated; more than once if it is small."""
    across = down = reach
    while across or down:
        right, below = min(across, image.shape[2] - 1), min(down, image.shape[1] - 1)
        image = F.pad(image, (right, right, below, below), mode="reflect")
        across, down = across - right, down - below
    return image


@register("defocus_blur", reference="Hendrycks & Dietterich 2019, arXiv:1903.12261", group="blur")
class DefocusBlur(Corruption):
    """Blur as by a lens out of focus: every point becomes a disk."""

    strengths = Severities(
        imagenet=((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        cifar=((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        tiny=((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
    )

    @override
    def corrupt(self, images: Tensor, c: tuple[float, float], rng: SampleRng) -> Tensor:
        return defocus_blur(images, *c)
