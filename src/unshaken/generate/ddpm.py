"""DDPM: the noise in an image predicted, samples step by step; DDIM's shorter way; and one step as a denoiser."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.generate.generator import Diffusion, DiffusionSettings, NoiseNet

Schedule = Literal["linear", "cosine"]
POSITIONS = 1000
"""Positions given to the network run from 0 to this, for any number of timesteps."""


@register("ddpm", reference="Ho et al. 2020, arXiv:2006.11239")
class DDPMSettings(DiffusionSettings):
    """DDPM: a predictor of the noise along a chain of timesteps; samples by ancestral steps or DDIM's shorter way."""

    timesteps: PositiveInt = Field(default=1000, description="length T of the chain", ge=2)
    schedule: Schedule = Field(default="linear", description="how the betas rise; see betas")

    @override
    def build(self, net: NoiseNet) -> DDPM:
        return DDPM(net, self)


class DDPM(Diffusion):
    """A predictor `eps(x_t, t)` of the noise n in `x_t = sqrt(a_t) x + sqrt(1 - a_t) n`, a_t being alpha-bar.

    Timesteps are counted from 0 to T-1, least noise first.

    Args:
        net: eps.
        settings: the chain.
        alpha_bar: float64 `[T]`, for a chain of another kind; default that of the settings.

    Source:
        Ho et al. 2020, arXiv:2006.11239; Song et al. 2021, arXiv:2010.02502.
    """

    kind: ClassVar[str] = "ddpm"
    settings: DDPMSettings

    def __init__(self, net: NoiseNet, settings: DDPMSettings | None = None, alpha_bar: Tensor | None = None) -> None:
        super().__init__(net, settings or DDPMSettings())
        if alpha_bar is None:
            alpha_bar = (1 - betas(self.settings.timesteps, self.settings.schedule)).cumprod(0)
        self.alpha_bar = alpha_bar.cpu().double()
        """float64 `[T]`."""

    @property
    def ratios(self) -> Tensor:
        """Noise over signal of each timestep, `sqrt((1 - a_t) / a_t)`, float64 `[T]`, rising."""
        return ((1 - self.alpha_bar) / self.alpha_bar).sqrt()

    def timestep(self, sigma: float) -> int:
        """The timestep whose noise over signal is nearest to `2 sigma`.

        Args:
            sigma: deviation of noise on images, in [0, 1] pixel units.

        Raises:
            ParameterError: there is more noise than at the end of the chain, or none.
        """
        ratios = self.ratios
        if not 0 < 2 * sigma <= float(ratios[-1]):
            raise ParameterError(
                f"sigma {sigma:g} must be above 0 and at most {float(ratios[-1]) / 2:.4g} for this chain"
            )
        return int((ratios.log() - math.log(2 * sigma)).abs().argmin())

    @override
    def check_sigma(self, sigma: float) -> None:
        self.timestep(sigma)

    def noise(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        """The noise in noisy images, `eps(x_t, t)`.

        Args:
            x_t: `[N, C, H, W]`.
            t: int64 `[N]`, 0..T-1.
            labels: int64 `[N]` or None.
            guidance: see `Diffusion.run_network`.
        """
        return self.run_network(x_t, t.float() * (POSITIONS / len(self.alpha_bar)), labels, guidance)

    def predict(
        self, x_t: Tensor, t: int, labels: Tensor | None = None, guidance: float = 1.0, *, clip: bool = True
    ) -> Tensor:
        """The mean of clean x given `x_t`, `(x_t - sqrt(1 - a_t) eps) / sqrt(a_t)`.

        Args:
            x_t: `[N, C, H, W]`.
            t: the timestep of all.
            labels: int64 `[N]` or None.
            guidance: see `Diffusion.run_network`.
            clip: keep it within [-1, 1].
        """
        a = float(self.alpha_bar[t])
        eps = self.noise(x_t, torch.full((len(x_t),), t, device=x_t.device), labels, guidance)
        x = (x_t - math.sqrt(1 - a) * eps) / math.sqrt(a)
        return x.clamp(-1, 1) if clip else x

    def noised(self, x: Tensor, t: int, noise: Tensor) -> Tensor:
        """`x_t = sqrt(a_t) x + sqrt(1 - a_t) n` of x in [-1, 1]."""
        a = float(self.alpha_bar[t])
        return math.sqrt(a) * x + math.sqrt(1 - a) * noise

    @override
    def loss(self, x: Tensor, rng: SampleRng, labels: Tensor | None = None) -> Tensor:
        """`|eps(x_t, t) - n|^2` a pixel at a uniform timestep."""
        t, n = rng.fold("t").integers(0, len(self.alpha_bar)), rng.fold("noise").normal(*self.image)
        a = self.alpha_bar.to(x)[t].view(-1, 1, 1, 1)
        return (self.noise(a.sqrt() * x + (1 - a).sqrt() * n, t, labels) - n).square().mean((1, 2, 3))

    @override
    def denoise(self, images: Tensor, sigma: float, labels: Tensor | None = None) -> Tensor:
        self.check(images, labels)
        t = self.timestep(sigma)
        x = self.predict(math.sqrt(float(self.alpha_bar[t])) * (2 * images - 1), t, labels)
        return (x + 1) / 2

    def reverse(
        self,
        x_t: Tensor,
        timesteps: list[int],
        rng: SampleRng,
        *,
        eta: float = 1.0,
        clip: bool = True,
        labels: Tensor | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """From noisy to clean along timesteps.

        Args:
            x_t: `[N, C, H, W]` at the first of the timesteps.
            timesteps: falling.
            rng: of these samples.
            eta: 1 for Ho et al.'s ancestral step, 0 for DDIM, which draws nothing.
            clip: keep each predicted x within [-1, 1].
            labels: int64 `[N]` or None.
            guidance: see `Diffusion.run_network`.

        Returns:
            x, the prediction at the last of the timesteps.
        """
        for t, s in pairwise(timesteps):
            x = self.predict(x_t, t, labels, guidance, clip=clip)
            noise = rng.fold(t).normal(*self.image) if eta else torch.zeros_like(x)
            x_t = ddim_step(x_t, x, float(self.alpha_bar[t]), float(self.alpha_bar[s]), noise, eta=eta)
        return self.predict(x_t, timesteps[-1], labels, guidance, clip=clip)

    @property
    @override
    def usual_steps(self) -> int:
        return len(self.alpha_bar)

    @override
    def sample(
        self, n: int, *, steps: int | None = None, eta: float = 1.0, clip: bool = True, seed: int = 0, first: int = 0,
        labels: Tensor | None = None, guidance: float = 1.0, batch_size: int = 64,
    ) -> Tensor:  # fmt: skip
        """See `Generator.sample`; steps are evenly spaced timesteps, None for all T.

        The option eta is 1 for ancestral sampling and 0 for DDIM; clip keeps each predicted x within [-1, 1].
        """
        most = self.usual_steps
        steps = most if steps is None else steps
        if not (1 <= steps <= most and 0 <= eta <= 1):
            raise ParameterError(f"steps={steps} must be 1 to {most}, eta={eta:g} in [0, 1]")
        timesteps = torch.linspace(most - 1, 0, steps, dtype=torch.float64).round().int().tolist()

        def draw(rng: SampleRng, chosen: Tensor | None, rows: slice) -> Tensor:
            start = rng.fold("start").normal(*self.image)
            return self.reverse(start, timesteps, rng, eta=eta, clip=clip, labels=chosen, guidance=guidance)

        return self._sampled(n, draw, seed=seed, first=first, labels=labels, batch_size=batch_size)

    @override
    def vary(
        self, images: Tensor, strength: float, *, steps: int | None = None, seed: int = 0, first: int = 0,
        labels: Tensor | None = None, guidance: float = 1.0, batch_size: int = 64,
    ) -> Tensor:  # fmt: skip
        """See `Generator.vary`: noise of the timestep at `strength` of the chain is added and taken away again.

        Source:
            Meng et al. 2022, arXiv:2108.01073.
        """
        self._check_variation(images, strength)
        start = max(0, round(strength * len(self.alpha_bar)) - 1)
        count = start + 1 if steps is None else min(steps, start + 1)
        if count < 1:
            raise ParameterError(f"steps={steps} must be 1 or more")
        timesteps = torch.linspace(start, 0, count, dtype=torch.float64).round().int().tolist()

        def draw(rng: SampleRng, chosen: Tensor | None, rows: slice) -> Tensor:
            noise = rng.fold("start").normal(*self.image)
            x_t = self.noised(2 * images[rows].to(noise) - 1, timesteps[0], noise)
            return self.reverse(x_t, timesteps, rng, labels=chosen, guidance=guidance)

        return self._sampled(len(images), draw, seed=seed, first=first, labels=labels, batch_size=batch_size)


def betas(timesteps: int, schedule: Schedule = "linear") -> Tensor:
    """Variances added at each timestep.

    linear: from `0.1 / T` to `20 / T`, which are 0.0001 and 0.02 for T = 1000 (Ho et al. 2020). cosine: those of
    `alpha_bar(u) = cos^2(pi/2 (u + 0.008) / 1.008)` over its value at 0, u from 0 to 1 (Nichol & Dhariwal 2021,
    arXiv:2102.09672). None is above 0.999.

    Args:
        timesteps: T.
        schedule: `linear` or `cosine`.

    Returns:
        float64 `[T]`.

    >>> [round(b, 4) for b in betas(5, "cosine").tolist()]
    [0.1013, 0.2795, 0.4736, 0.7241, 0.999]
    """
    if schedule == "linear":
        return torch.linspace(0.1 / timesteps, 20 / timesteps, timesteps, dtype=torch.float64).clamp(max=0.999)
    u = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    alpha_bar = torch.cos(math.pi / 2 * (u + 0.008) / 1.008) ** 2
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999)


def ddim_step(x_t: Tensor, x: Tensor, a_t: float, a_s: float, noise: Tensor, *, eta: float) -> Tensor:
    """From timestep t to an earlier one s, given the clean x: DDIM's family, whose eta = 1 is the ancestral step.

    `sqrt(a_s) x + sqrt(1 - a_s - d^2) n + d noise`, n the noise in `x_t` and
    `d^2 = eta^2 (1 - a_s) / (1 - a_t) (1 - a_t / a_s)`.

    Args:
        x_t: `[N, ...]`.
        x: clean, or its prediction.
        a_t: alpha-bar at t.
        a_s: alpha-bar at s, larger.
        noise: standard normal.
        eta: 0 to 1.

    Source:
        Song et al. 2021, arXiv:2010.02502, equations 12 and 16.
    """
    n = (x_t - math.sqrt(a_t) * x) / math.sqrt(1 - a_t)
    d = eta * math.sqrt((1 - a_s) / (1 - a_t) * (1 - a_t / a_s))
    return math.sqrt(a_s) * x + math.sqrt(max(0.0, 1 - a_s - d**2)) * n + d * noise
