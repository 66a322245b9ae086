"""Fewer channels of feature maps, by the principal components of their places."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unshaken.core.device import widen
from unshaken.core.errors import DataError


@dataclass(frozen=True, slots=True)
class ChannelProjection:
    """Principal components of the places of maps.

    Args:
        mean: `[C]`.
        components: `[C, c]`, orthonormal.
        scale: by which projected values are divided, so that their mean square is 1.
    """

    mean: Tensor
    components: Tensor
    scale: float

    def __call__(self, maps: Tensor) -> Tensor:
        """Maps `[N, C, h, w]` to `[N, c, h, w]`."""
        return torch.einsum("nchw,cd->ndhw", maps - self.mean[:, None, None], self.components) / self.scale


def fit_channels(maps: Tensor, channels: int = 64) -> ChannelProjection:
    """Fit a projection; give maps of base images, never those that are judged.

    Args:
        maps: `[N, C, h, w]`.
        channels: c, at most C and fewer than the places.

    Raises:
        DataError: there are too few places or channels.
    """
    places = widen(maps.transpose(0, 1).flatten(1).T)
    if not 1 <= channels <= min(places.shape[1], len(places) - 1):
        raise DataError(f"{channels} channels cannot be fitted to {len(places)} places of {places.shape[1]} channels")
    mean = places.mean(0)
    _, vectors = torch.linalg.eigh((places - mean).T @ (places - mean))
    components = vectors[:, -channels:].flip(1)
    scale = float(((places - mean) @ components).square().mean().sqrt())
    return ChannelProjection(mean.to(maps), components.to(maps), scale or 1.0)
