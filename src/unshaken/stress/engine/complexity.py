"""Complexity of pictures: the mean magnitude of their spectrum, its gradient, and steps along it."""

from __future__ import annotations

import torch
from torch import Tensor

from unshaken.stress.engine.misleading import Push


def complexity(images: Tensor, *, brightness: bool = True) -> Tensor:
    """C(z): the mean over channels and frequencies of `|FFT2(z)|`, not normalised.

    It grows with the size of a texture, so that only images of one size compare.

    Args:
        images: z, `[N, C, H, W]` in [0, 1].
        brightness: whether the zero frequency counts, which is the mean of the image.

    Returns:
        `[N]`, differentiable.

    >>> complexity(torch.full((1, 1, 8, 8), 0.5)).item()
    0.5

    Source: Li et al. 2023, arXiv:2303.17096.
    """
    magnitude = torch.fft.fft2(images).abs()
    if not brightness:
        magnitude = magnitude.flatten(2)[..., 1:]
    total: Tensor = magnitude.flatten(2).sum(2).mean(1)
    return total / images.shape[2:].numel()


def complexity_gradient(images: Tensor) -> Tensor:
    """The gradient of each channel's C without its zero frequency: `FFT2^-1(F / |F|)`, of 2-norm 1 or a little less.

    A step of length t along it adds t to every magnitude, and so t to C.

    Args:
        images: `[N, C, H, W]`.
    """
    spectrum = torch.fft.fft2(images)
    magnitude = spectrum.abs()
    phase = torch.where(magnitude > 0, spectrum / magnitude.clamp(min=1e-30), torch.zeros_like(spectrum))
    phase[..., 0, 0] = 0
    slope: Tensor = torch.fft.ifft2(phase).real
    return slope


def climb_complexity(images: Tensor, masks: Tensor, change: float, steps: int, push: Push | None = None) -> Tensor:
    """Change the complexity of what is around objects by gradient steps on it, within [0, 1].

    Args:
        images: `[N, C, H, W]` in [0, 1].
        masks: bool `[N, 1, H, W]`: the objects, whose pixels stay.
        change: length of all steps together, as a share of each image's own complexity without brightness; below 0 it
            falls.
        steps: number of equal steps.
        push: a direction that each step also follows on the background, as far as it follows the complexity's.
    """
    length = (complexity(images, brightness=False) * (change / steps)).view(-1, 1, 1, 1)
    found = images
    for _ in range(steps):
        moved = found + length * complexity_gradient(found)
        if push is not None:
            slope = push(found).masked_fill(masks, 0)
            moved = moved + length.abs() * slope / slope.flatten(1).norm(dim=1).clamp(min=1e-30).view(-1, 1, 1, 1)
        found = torch.where(masks, images, moved.clamp(0, 1))
    return found
