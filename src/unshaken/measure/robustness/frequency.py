"""Parts of images by frequency, and where in the spectrum a change of images lies.

F is the unnormalised 2-D DFT of each channel; rho is the distance from zero frequency in bins, so radii belong to one
image size. All is float32 or finer.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor


@cache
def frequency_radius(height: int, width: int) -> Tensor:
    """The distance rho of every bin, `[H, W]`, in the order of `torch.fft.fft2` (zero frequency first).

    Args:
        height: of the image in pixels.
        width: likewise.

    >>> [int((frequency_radius(32, 32) <= r).sum()) for r in (4, 8, 12, 16)]
    [49, 197, 441, 795]
    """
    rows = torch.fft.fftfreq(height, 1 / height, dtype=torch.float64)
    columns = torch.fft.fftfreq(width, 1 / width, dtype=torch.float64)
    return torch.hypot(rows[:, None], columns[None])


def half_radius(height: int, width: int) -> Tensor:
    """The distance rho of the bins of `torch.fft.rfft2`, `[H, W // 2 + 1]`."""
    return frequency_radius(height, width)[:, : width // 2 + 1]


def band_pass(images: Tensor, low: float, high: float) -> Tensor:
    """What lies in the band `low < rho <= high`.

    Args:
        images: `[..., H, W]`.
        low: in bins; below 0 the mean is let through.
        high: in bins.
    """
    height, width = images.shape[-2:]
    radius = half_radius(height, width).to(images.device)
    kept = ((radius > low) & (radius <= high)).to(images.dtype)
    found: Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * kept, s=(height, width))
    return found


def low_pass(images: Tensor, radius: float) -> Tensor:
    """What lies at `rho <= radius`; see `band_pass`."""
    return band_pass(images, -1.0, radius)


def high_pass(images: Tensor, radius: float) -> Tensor:
    """What lies at `rho > radius`, with the mean put back; see `band_pass`."""
    return images - low_pass(images, radius) + images.mean((-2, -1), keepdim=True)


def energy_inside(changes: Tensor, radius: float) -> Tensor:
    """The share of the spectral energy `sum |F|^2` at `rho <= radius`, channels together.

    Args:
        changes: `[N, C, H, W]`, such as attacked minus clean images.
        radius: in bins.

    Returns:
        `[N]` in [0, 1]; not a number where nothing was changed. `white_share` says what white noise has.
    """
    power = torch.fft.fft2(changes.double()).abs().square().sum(1)
    inside = (frequency_radius(*changes.shape[-2:]) <= radius).to(power.device)
    share: Tensor = (power * inside).sum((1, 2)) / power.sum((1, 2))
    return share


def white_share(height: int, width: int, radius: float) -> float:
    """The expected share of white noise's energy at `rho <= radius`: the bins there over all.

    >>> [round(white_share(32, 32, r), 4) for r in (4, 8, 16)]
    [0.0479, 0.1924, 0.7764]
    """
    return float((frequency_radius(height, width) <= radius).double().mean())


def radial_spectrum(changes: Tensor) -> Tensor:
    """The mean energy `|F|^2 / (H W)` of the bins whose rho rounds to 0, 1, 2, ..., channels averaged.

    Args:
        changes: `[N, C, H, W]`.

    Returns:
        `[N, R]`; for white noise of deviation s each entry is `s^2` on average.
    """
    height, width = changes.shape[-2:]
    power = torch.fft.fft2(changes.double()).abs().square().mean(1) / (height * width)
    ring = frequency_radius(height, width).round().long().flatten().to(power.device)
    rings = torch.zeros(len(power), int(ring.max()) + 1, dtype=power.dtype, device=power.device)
    return rings.index_add_(1, ring, power.flatten(1)) / torch.bincount(ring)
