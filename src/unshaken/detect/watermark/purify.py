"""Purification: noise that drowns a mark, alone, before a denoiser, or before the way back of a diffusion model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.rng import SampleRng
from unshaken.generate.ddpm import DDPM
from unshaken.generate.edm import EDM
from unshaken.generate.generator import Diffusion, NoiseNet


class Purifier(Protocol):
    """A change that is to take marks and attacks off images, at a strength."""

    def __call__(self, images: Tensor, strength: float, rng: SampleRng) -> Tensor:
        """Images `[N, C, H, W]` in [0, 1] to the same shape; at strength 0 they stay as they are."""


def add_noise(images: Tensor, strength: float, rng: SampleRng) -> Tensor:
    """`x + s n`, not clipped.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        strength: s, deviation of the noise, in [0, 1] pixel units.
        rng: of these images.

    Raises:
        ParameterError: the strength is negative.
    """
    if not strength >= 0:
        raise ParameterError(f"strength={strength!r}, the deviation of the noise, must be at least 0")
    return images + strength * rng.fold("noise").normal(*images.shape[1:]).to(images) if strength else images


@dataclass(frozen=True, slots=True)
class NoiseThenDenoise:
    """Noise, then one pass of a denoiser that knows the deviation.

    Args:
        model: the denoiser.
    """

    model: Diffusion

    @torch.no_grad()
    def __call__(self, images: Tensor, strength: float, rng: SampleRng) -> Tensor:
        """See `Purifier`; the strength is the deviation in [0, 1] pixel units. Clipped to [0, 1].

        Raises:
            ModelError: images are of another size than the denoiser's.
            ParameterError: the denoiser was not made for such noise.
        """
        return self.model.denoise(add_noise(images, strength, rng), strength) if strength else images


@dataclass(frozen=True, slots=True)
class DiffusionPurification:
    """Noise along a diffusion's chain to `t = round(T fraction)`, then all the way back by ancestral steps.

    Args:
        model: the chain and its network.
        every: timesteps that one step back spans; 1 for all of them, as published.

    Source:
        Nie et al. 2022, arXiv:2205.07460; against watermarks Saberi et al. 2024, arXiv:2310.00076.
    """

    model: DDPM
    every: int = 1

    @torch.no_grad()
    def __call__(self, images: Tensor, strength: float, rng: SampleRng) -> Tensor:
        """See `Purifier`; the strength is the fraction of the chain, in [0, 1].

        Raises:
            ModelError: images are of another size than the model's.
            ParameterError: the fraction is outside [0, 1].
        """
        t = steps_of(self.model, strength)
        if not t:
            return images
        self.model.check(images, None)
        x_t = diffused(images, self.model, strength, rng)
        back = sorted({*range(0, t, self.every), t - 1}, reverse=True)
        return (self.model.reverse(x_t, back, rng.fold("back")) + 1) / 2


def steps_of(model: DDPM, fraction: float) -> int:
    """`t = round(T fraction)`: how many steps of noise.

    Raises:
        ParameterError: the fraction is outside [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise ParameterError(f"fraction={fraction!r} of the chain must be within [0, 1]")
    return round(len(model.alpha_bar) * fraction)


def diffused(images: Tensor, model: DDPM, fraction: float, rng: SampleRng) -> Tensor:
    """`x_t = sqrt(a_t) x + sqrt(1 - a_t) n` of `x = 2 image - 1`, a_t the product of the first t `1 - beta`.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        model: of the chain.
        fraction: t over T, above 0.
        rng: of these images.
    """
    noise = rng.fold("noise").normal(*images.shape[1:]).to(images)
    return model.noised(2 * images - 1, steps_of(model, fraction) - 1, noise)


def equivalent_noise(model: DDPM, fraction: float) -> float:
    """The deviation of plain noise that says as much about an image: `sqrt((1 - a_t) / a_t) / 2`.

    Args:
        model: of the chain.
        fraction: t over T, in [0, 1].

    Returns:
        s in [0, 1] pixel units; twice as much on [-1, 1].

    Raises:
        ParameterError: the fraction is outside [0, 1].
    """
    t = steps_of(model, fraction)
    return float(model.ratios[t - 1]) / 2 if t else 0.0


class _PredictedNoise(NoiseNet):
    """An EDM as a predictor of the noise at a chain's timesteps.

    Args:
        model: the EDM.
        alpha_bar: of the chain, float64 `[T]`.
    """

    def __init__(self, model: EDM, alpha_bar: Tensor) -> None:
        super().__init__(model.image, model.classes)
        self.model, self.alpha_bar = model, alpha_bar

    @override
    def forward(self, x: Tensor, position: Tensor, labels: Tensor | None = None) -> Tensor:
        """`n = (x_t - sqrt(a_t) D(x_t / sqrt(a_t); sqrt((1 - a_t) / a_t))) / sqrt(1 - a_t)`."""
        t = (position * len(self.alpha_bar) / 1000).round().long()
        a = self.alpha_bar.to(x)[t].view(-1, 1, 1, 1)
        ratio = ((1 - a) / a).sqrt()
        clean = self.model.predict(x / a.sqrt(), ratio.flatten(), labels)
        return (x - a.sqrt() * clean) / (1 - a).sqrt()


def as_ddpm(model: EDM, chain: DDPM | None = None) -> DDPM:
    """An EDM on the chain of a DDPM: a denoiser for every level of noise serves that chain's levels too.

    Args:
        model: trained.
        chain: whose alpha-bar is taken; default 1,000 timesteps with linear betas.

    >>> from unshaken.generate import UNet, UNetSettings
    >>> tiny = EDM(UNet(UNetSettings(image=(1, 8, 8), width=4, levels=(1,))))
    >>> [round(2 * equivalent_noise(as_ddpm(tiny), f), 3) for f in (0.1, 0.2, 0.3)]
    [0.339, 0.719, 1.234]
    """
    alpha_bar = DDPM(model.net).alpha_bar if chain is None else chain.alpha_bar
    return DDPM(_PredictedNoise(model, alpha_bar), alpha_bar=alpha_bar).eval()
