"""Where in the spectrum changes of images lie: shares of energy by distance from zero frequency.

F is the unnormalised 2-D DFT of each channel; rho is the distance from zero frequency in bins, so radii belong to one
image size. All is float64. Filters of images are in `unshaken.stress.engine.filters`.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from unshaken.measure.statistics.columns import Numbers


@cache
def frequency_radius(height: int, width: int) -> Numbers:
    """The distance rho of every bin, `[H, W]`, in the order of `numpy.fft.fft2` (zero frequency first).

    Args:
        height: of the image in pixels.
        width: of the image in pixels.

    >>> [int((frequency_radius(32, 32) <= r).sum()) for r in (4, 8, 12, 16)]
    [49, 197, 441, 795]
    """
    rows, columns = np.fft.fftfreq(height, 1 / height), np.fft.fftfreq(width, 1 / width)
    radius: Numbers = np.hypot(rows[:, None], columns[None])
    radius.flags.writeable = False
    return radius


def energy_inside(changes: ArrayLike, radius: float) -> Numbers:
    """The share of the spectral energy `sum |F|^2` at `rho <= radius`, channels together.

    Args:
        changes: `[N, C, H, W]`, such as attacked minus clean images; a tensor on the CPU will do.
        radius: in bins.

    Returns:
        `[N]` in [0, 1]; not a number where nothing was changed. `white_share` says what white noise has.
    """
    power = _power(changes).sum(1)
    inside = frequency_radius(*power.shape[1:]) <= radius
    with np.errstate(invalid="ignore"):
        return np.asarray((power * inside).sum((1, 2)) / power.sum((1, 2)))


def white_share(height: int, width: int, radius: float) -> float:
    """The expected share of white noise's energy at `rho <= radius`: the bins there over all.

    >>> [round(white_share(32, 32, r), 4) for r in (4, 8, 16)]
    [0.0479, 0.1924, 0.7764]
    """
    return float((frequency_radius(height, width) <= radius).mean())


def radial_spectrum(changes: ArrayLike) -> Numbers:
    """The mean energy `|F|^2 / (H W)` of the bins whose rho rounds to 0, 1, 2, ..., channels averaged.

    Args:
        changes: `[N, C, H, W]`; a tensor on the CPU will do.

    Returns:
        `[N, R]`; for white noise of deviation s each entry is `s^2` on average.
    """
    power = _power(changes).mean(1)
    height, width = power.shape[1:]
    ring = frequency_radius(height, width).round().astype(np.int64).ravel()
    rings = np.eye(ring.max() + 1)[ring]
    return np.asarray(power.reshape(len(power), -1) @ rings / rings.sum(0) / (height * width))


def _power(changes: ArrayLike) -> Numbers:
    """`|F|^2`, `[N, C, H, W]`."""
    return np.asarray(np.abs(np.fft.fft2(np.asarray(changes, np.float64))) ** 2)
