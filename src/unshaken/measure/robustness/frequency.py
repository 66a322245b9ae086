"""Where in the spectrum of images a model looks, and where a change of images lies.

F is the unnormalised 2-D DFT of each channel; rho is the distance from zero frequency in bins, so radii belong to one
image size. All is float32 or finer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.measure.robustness.accuracy import accuracy
from unshaken.measure.statistics.figure import Figure

Predict = Callable[[Tensor], Tensor]
"""From images `[N, C, H, W]` in [0, 1] to logits `[N, K]`, such as `Oracle.exact`."""


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


def pass_curve(
    predict: Predict, images: Tensor, labels: Tensor, radii: Sequence[float], *, keep: str = "low"
) -> dict[float, Figure]:
    """Accuracy on what is left of the images inside (or outside) each radius.

    Args:
        predict: see `Predict`; what it is given is clipped to [0, 1].
        images: `[N, C, H, W]` in [0, 1].
        labels: int64 `[N]`.
        radii: in bins.
        keep: `low` or `high`.

    Raises:
        ParameterError: `keep` is neither.
    """
    if keep not in ("low", "high"):
        raise ParameterError(f"keep={keep!r} must be low or high")
    cut = low_pass if keep == "low" else high_pass
    found = {}
    for radius in radii:
        right = predict(cut(images, radius).clamp(0, 1)).argmax(1) == labels
        found[radius] = accuracy(right.cpu().numpy())
    return found


def fourier_pattern(height: int, width: int, row: int, column: int) -> Tensor:
    """The real pattern of one frequency (and its mirror), of l2 norm 1, `[H, W]`.

    Args:
        height: of the image in pixels.
        width: likewise.
        row: cycles over the height, -H/2 to H/2.
        column: cycles over the width.
    """
    phase = (
        2
        * torch.pi
        * (
            row * torch.arange(height, dtype=torch.float64)[:, None] / height
            + column * torch.arange(width, dtype=torch.float64)[None] / width
        )
    )
    wave = torch.cos(phase) + torch.sin(phase)  # never nothing, whichever the frequency
    unit: Tensor = wave / torch.linalg.vector_norm(wave)
    return unit


def fourier_heat_map(
    predict: Predict,
    images: Tensor,
    labels: Tensor,
    *,
    norm: float,
    ids: Sequence[str] | None = None,
    seed: int = 0,
    radius: int | None = None,
) -> Tensor:
    """The error under noise of a single frequency, for every frequency: rows and columns shifted, zero in the middle.

    Args:
        predict: see `Predict`.
        images: `[N, C, H, W]` in [0, 1].
        labels: int64 `[N]`.
        norm: l2 norm of the noise in each channel, in [0, 1] pixel units; its sign is drawn for each image and channel.
        ids: of the samples, for the signs; None: their numbers.
        seed: of the signs.
        radius: largest frequency in both directions; None: all.

    Returns:
        `[2 R + 1, 2 R + 1]` in [0, 1]. A frequency and its mirror are the same noise up to its phase, so half of the
        map is measured and the other half is its mirror.

    Raises:
        ParameterError: the norm is not above 0, or the radius is beyond the grid.
    """
    height, width = images.shape[-2:]
    most = min(height, width) // 2
    reach = most if radius is None else radius
    if not norm > 0:
        raise ParameterError(f"norm={norm!r} must be above 0")
    if not 0 <= reach <= most:
        raise ParameterError(f"radius={reach} must be 0 to {most} for images of {height} x {width}")
    names = [str(i) for i in range(len(images))] if ids is None else list(ids)
    rng = SampleRng.of(seed, "fourier-heat-map", names)
    found = torch.zeros(2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
    for row in range(reach + 1):
        for column in range(-reach, reach + 1):
            sign = rng.fold(row).fold(column).uniform(images.shape[1]).sub(0.5).sign()[..., None, None]
            noise = norm * fourier_pattern(height, width, row, column)
            seen = (images + sign.to(images) * noise.to(images)).clamp(0, 1)
            error = float((predict(seen).argmax(1) != labels).double().mean())
            found[reach + row, reach + column] = found[reach - row, reach - column] = error
    return found
