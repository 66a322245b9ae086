"""A camera's sensor: the light of a scene, the electrons that it sets free, and the picture that is made of them."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import widen
from unshaken.core.rng import SampleRng
from unshaken.stress.corruptions.gaussian_noise import unit_normal
from unshaken.stress.engine.base import Corruption

WELL, READ = 10_000.0, 4.0
"""Electrons of a pixel at white, and the deviation of the read noise in electrons: a small sensor at base ISO."""
REFERENCE = "Hasinoff et al. 2010, doi:10.1109/CVPR.2010.5540167; IEC 61966-2-1:1999"


def to_light(images: Tensor) -> Tensor:
    """The light of sRGB values, relative to white: both in [0, 1].

    >>> [round(v, 4) for v in to_light(torch.tensor([0.0, 0.02, 0.5, 1.0])).tolist()]
    [0.0, 0.0015, 0.214, 1.0]
    """
    return torch.where(images <= 0.04045, images / 12.92, ((images + 0.055) / 1.055) ** 2.4)


def to_display(light: Tensor) -> Tensor:
    """The sRGB values of light in [0, 1], the inverse of `to_light`."""
    return torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clamp(min=1e-6) ** (1 / 2.4) - 0.055)


def expose(images: Tensor, stops: float, noise: Tensor) -> Tensor:
    """Take the picture again with more or less light: `t = 2^stops` times that of the picture.

    The light e of the scene sets `t e W` electrons free at a full well of W. They are counted with the deviation
    `sqrt(t e W + r^2)`: photons arrive by chance (a Gaussian stands for Poisson's law), and reading adds r. What is
    more than the well holds is lost. Colour filters, white balance, denoising and compression are left out.

    Args:
        images: `[N, C, H, W]` in [0, 1], as a correct exposure shows the scene; float64, so that a sample's result does
            not depend on who shares its batch.
        stops: exposure value: -1 halves the light, 1 doubles it.
        noise: standard normal draws of the shape of `images`.

    Returns:
        The same shape, in [0, 1].
    """
    light = to_light(images) * 2.0**stops
    counted = light + noise * (light / WELL + (READ / WELL) ** 2).sqrt()
    return to_display(counted.clamp(0, 1))


class Exposure(Corruption):
    """A picture taken again with another exposure; strengths are in stops."""

    @override
    def corrupt(self, images: Tensor, c: float, rng: SampleRng) -> Tensor:
        noise = unit_normal(rng.fold("sensor"), *images.shape[1:]).to(images.device)
        return expose(widen(images), c, widen(noise)).float()
