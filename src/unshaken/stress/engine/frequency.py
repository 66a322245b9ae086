"""Parts of images by frequency: low-pass, high-pass and band-pass filters on the 2-D DFT of each channel.

Radii are in bins, as in `unshaken.measure.robustness.frequency`, and belong to one image size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.measure.robustness.frequency import frequency_radius


def half_radius(height: int, width: int) -> Tensor:
    """The distance rho of the bins of `torch.fft.rfft2` from zero frequency, float64 `[H, W // 2 + 1]`."""
    return torch.tensor(frequency_radius(height, width)[:, : width // 2 + 1])


def band_pass(images: Tensor, low: float, high: float) -> Tensor:
    """The part of images in the band `low < rho <= high`.

    Args:
        images: `[..., H, W]`.
        low: in bins; below 0 the mean is let through.
        high: in bins.
    """
    height, width = images.shape[-2:]
    radius = half_radius(height, width)
    kept = ((radius > low) & (radius <= high)).to(images)
    found: Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * kept, s=(height, width))
    return found


def low_pass(images: Tensor, radius: float) -> Tensor:
    """The part of images at `rho <= radius`; see `band_pass`."""
    return band_pass(images, -1.0, radius)


def high_pass(images: Tensor, radius: float) -> Tensor:
    """The part of images at `rho > radius`, with the mean put back; see `band_pass`."""
    return images - low_pass(images, radius) + images.mean((-2, -1), keepdim=True)
