"""EDM: a denoiser for every level of noise, and samples by Heun's method along the probability flow."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from unshaken.core.boxes import boxed
from unshaken.core.errors import ParameterError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.generate.generator import Diffusion, DiffusionSettings, NoiseNet

POSITION = 100
"""Positions given to the network are this many times `c_noise`: then 4% more noise is one step further."""
STEPS = 18
"""Points of the time grid that are usual for small images."""
LARGEST = 80.0
"""Deviation of noise on x from which samples start."""


@register("edm", reference="Karras et al. 2022, arXiv:2206.00364")
class EDMSettings(DiffusionSettings):
    """EDM: a denoiser for every level of noise; samples by Heun's method along the probability flow.

    The settings say what the preconditioning assumes and which noise training draws, for x in [-1, 1].
    """

    sigma_data: PositiveFloat = Field(default=0.5, description="deviation of the pixels of x")
    mean: float = Field(default=-1.2, description="mean of the logarithm of the noise in training")
    std: PositiveFloat = Field(default=1.2, description="deviation of the logarithm of the noise in training")

    @override
    def build(self, net: NoiseNet) -> EDM:
        return EDM(net, self)


class EDM(Diffusion):
    """A denoiser `D(x; t) = c_skip x + c_out F(c_in x; c_noise)` of x with noise of deviation t.

    Args:
        net: F.
        settings: of noise and preconditioning.

    Source:
        Karras et al. 2022, arXiv:2206.00364, table 1.
    """

    kind: ClassVar[str] = "edm"
    settings: EDMSettings

    def __init__(self, net: NoiseNet, settings: EDMSettings | None = None) -> None:
        super().__init__(net, settings or EDMSettings())

    def predict(self, x: Tensor, t: Tensor, labels: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        """The mean of clean x given noisy x, `D(x; t)`; not clipped.

        Args:
            x: `[N, C, H, W]`, in [-1, 1] plus noise.
            t: float `[N]`, deviation of that noise, above 0.
            labels: int64 `[N]` or None.
            guidance: see `Diffusion.run_network`.
        """
        c_skip, c_out, c_in, c_noise = preconditioning(t, self.settings.sigma_data)
        skip, out, scale = (c.to(x.dtype).view(-1, 1, 1, 1) for c in (c_skip, c_out, c_in))
        return skip * x + out * self.run_network(scale * x, POSITION * c_noise, labels, guidance)

    @override
    def loss(self, x: Tensor, rng: SampleRng, labels: Tensor | None = None) -> Tensor:
        """`lambda(t) |D(x + t n; t) - x|^2` a pixel, with `ln t` normal and `lambda = (t^2 + s^2) / (t s)^2`."""
        s = self.settings.sigma_data
        t = torch.exp(self.settings.mean + self.settings.std * rng.fold("sigma").normal())
        noisy = x + t.view(-1, 1, 1, 1) * rng.fold("noise").normal(*self.image)
        weight = (t**2 + s**2) / (t * s) ** 2
        return weight * (self.predict(noisy, t, labels) - x).square().mean((1, 2, 3))

    @override
    def denoise(self, images: Tensor, sigma: float, labels: Tensor | None = None) -> Tensor:
        self.check(images, labels)
        self.check_sigma(sigma)
        t = torch.full((len(images),), 2 * sigma, device=images.device)
        return boxed((self.predict(2 * images - 1, t, labels) + 1) / 2)

    @override
    def check_sigma(self, sigma: float) -> None:
        if not 0 < 2 * sigma <= LARGEST:
            raise ParameterError(f"sigma {sigma:g} must be above 0 and at most {LARGEST / 2:g}")

    @property
    @override
    def usual_steps(self) -> int:
        return STEPS

    @override
    def sample(
        self,
        n: int,
        *,
        steps: int | None = None,
        seed: int = 0,
        first: int = 0,
        labels: Tensor | None = None,
        guidance: float = 1.0,
        batch_size: int = 64,
    ) -> Tensor:
        grid = karras_grid(STEPS if steps is None else steps)

        def draw(rng: SampleRng, chosen: Tensor | None, rows: slice) -> Tensor:
            return self._from(float(grid[0]) * rng.fold("start").normal(*self.image), grid, chosen, guidance)

        return self._sampled(n, draw, seed=seed, first=first, labels=labels, batch_size=batch_size)

    @override
    def vary(
        self, images: Tensor, strength: float, *, steps: int | None = None, seed: int = 0, first: int = 0,
        labels: Tensor | None = None, guidance: float = 1.0, batch_size: int = 64,
    ) -> Tensor:  # fmt: skip
        """See `Generator.vary`: noise of the last `strength` of the grid's levels is added and taken away again.

        Source:
            Meng et al. 2022, arXiv:2108.01073.
        """
        self._check_variation(images, strength)
        grid = karras_grid(STEPS if steps is None else steps)
        grid = grid[-max(1, round(strength * len(grid))) :]

        def draw(rng: SampleRng, chosen: Tensor | None, rows: slice) -> Tensor:
            noise = float(grid[0]) * rng.fold("start").normal(*self.image)
            return self._from(2 * images[rows].to(noise) - 1 + noise, grid, chosen, guidance)

        return self._sampled(len(images), draw, seed=seed, first=first, labels=labels, batch_size=batch_size)

    def _from(self, x: Tensor, grid: Tensor, labels: Tensor | None, guidance: float) -> Tensor:
        ones = torch.ones(len(x), device=x.device)
        return heun(lambda x, t: self.predict(x, t * ones, labels, guidance), x, grid)


def preconditioning(t: Tensor, sigma_data: float = 0.5) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`c_skip, c_out, c_in, c_noise` at noise of deviation t, each of the shape of t.

    With `s = sigma_data`: `s^2 / (t^2 + s^2)`, `t s / sqrt(t^2 + s^2)`, `1 / sqrt(t^2 + s^2)`, `ln(t) / 4`.

    >>> [round(float(c), 4) for c in preconditioning(torch.tensor(0.5))]
    [0.5, 0.3536, 1.4142, -0.1733]
    """
    total = t**2 + sigma_data**2
    return sigma_data**2 / total, t * sigma_data / total.sqrt(), 1 / total.sqrt(), t.log() / 4


def karras_grid(n: int, largest: float = LARGEST, least: float = 0.002, rho: float = 7.0) -> Tensor:
    """Levels of noise from the largest to the least, evenly spaced in their rho-th root.

    `t_i = (largest^(1/rho) + i / (n - 1) (least^(1/rho) - largest^(1/rho)))^rho`; the 0 that ends a path is not in it.

    Args:
        n: points, 2 or more.
        largest: `t_0`, a deviation of x in [-1, 1].
        least: `t_(n-1)`, above 0.
        rho: how much denser the grid is at little noise.

    Returns:
        float64 `[n]`, falling.

    Raises:
        ParameterError: a number is not allowed.

    >>> [round(t, 4) for t in karras_grid(3).tolist()]
    [80.0, 2.5152, 0.002]
    """
    if n < 2 or not largest > least > 0 or not rho > 0:
        raise ParameterError(
            f"a grid has 2 points or more and largest > least > 0, rho > 0; not n={n}, largest={largest:g}, "
            f"least={least:g}, rho={rho:g}"
        )
    high, low = largest ** (1 / rho), least ** (1 / rho)
    share = torch.arange(n, dtype=torch.float64) / (n - 1)
    return torch.pow(high + share * (low - high), rho)


def heun(denoiser: Callable[[Tensor, float], Tensor], x: Tensor, grid: Tensor, *, end: float | None = 0.0) -> Tensor:
    """Follow `dx/dt = (x - D(x; t)) / t` along a grid and then to its end, by Heun's method of second order.

    Args:
        denoiser: D, of x and a deviation of noise.
        x: `[N, ...]`, with noise of deviation `grid[0]`.
        grid: all above 0; falling towards an image, rising towards noise.
        end: the last level, 0, to which the step is Euler's; None to stop at the end of the grid.

    Returns:
        The shape of x; without noise where the end is 0.
    """
    for t, s in pairwise([*grid.tolist(), *([] if end is None else [end])]):
        slope = (x - denoiser(x, t)) / t
        ahead = x + (s - t) * slope
        if s > 0:
            ahead = x + (s - t) / 2 * (slope + (ahead - denoiser(ahead, s)) / s)
        x = ahead
    return x
