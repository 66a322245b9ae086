"""Spoofing a watermark: marked noise blended into a clean image makes it pass for marked."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng


def noise_images(image: tuple[int, int, int], peak: float, rng: SampleRng) -> Tensor:
    """Gaussian noise, each image stretched to run from 0 to a peak.

    Args:
        image: channels, height and width.
        peak: m in (0, 1].
        rng: of these images.

    Returns:
        float32 `[N, C, H, W]` in [0, m].

    Raises:
        ParameterError: the peak is not in (0, 1].
    """
    if not 0 < peak <= 1:
        raise ParameterError(f"peak={peak!r} must be in (0, 1], in units of [0, 1] pixels")
    flat = rng.fold("noise-image").normal(math.prod(image))
    low, high = (f(1, keepdim=True) for f in (flat.amin, flat.amax))
    return (peak * (flat - low) / (high - low)).view(-1, *image)


def blend(clean: Tensor, noise: Tensor, beta: float = 0.7, peak: float | None = None) -> Tensor:
    """`clip(beta x + M n / max n)`: the noise rescaled so that its maximum M fills the room that the image leaves.

    Args:
        clean: x, `[N, C, H, W]` in [0, 1].
        noise: n, marked, in the same shape and range.
        beta: weight of the clean image, in [0, 1].
        peak: M in [0, 1]; None for `ceil(255 - max(255 beta x)) / 255` of each image.

    Returns:
        The same shape, in [0, 1].

    Raises:
        ParameterError: beta or M is outside [0, 1], or the shapes differ.

    Source:
        Saberi et al. 2024, arXiv:2310.00076.

    >>> blend(torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[[0.25, 0.5]]]]), beta=1.0, peak=0.2)
    tensor([[[[0.6000, 0.7000]]]])
    """
    if not 0 <= beta <= 1 or not (peak is None or 0 <= peak <= 1):
        raise ParameterError(f"beta={beta!r} and peak={peak!r} must be within [0, 1]")
    if clean.shape != noise.shape:
        raise ParameterError(f"clean images {tuple(clean.shape)} and noise {tuple(noise.shape)} must be of one shape")
    dimmed = beta * clean
    wide = (slice(None), None, None, None)
    if peak is None:
        room = (
            torch.ceil(255 - (255 * dimmed).flatten(1).amax(1) - 1e-4) / 255
        )  # float32's rounding makes no level more
        top = room[wide]
    else:
        top = torch.full((len(clean), 1, 1, 1), peak).to(clean)
    return (dimmed + top * noise / noise.flatten(1).amax(1).clamp_min(1e-12)[wide]).clamp(0, 1)
