"""`DiffusionCodes`: a diffusion model as a generator whose code is the noise that its deterministic way starts from."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from unshaken.core.errors import ParameterError
from unshaken.generate.ddpm import DDPM
from unshaken.generate.diffusion import Diffusion
from unshaken.generate.edm import LARGEST, heun, karras_grid
from unshaken.generate.latent.latent_generator import LatentGenerator
from unshaken.generate.unet import UNet

LEAST = 0.02
"""Noise at which an image is taken to be clean, a deviation of x in [-1, 1]."""


class DiffusionCodes(LatentGenerator):
    """The probability flow of a diffusion model, which leads from noise to an image and back without drawing anything.

    A code is the noise at the first level of the way, over its deviation, so that it has unit deviation.

    Args:
        model: without classes, or used without them.
        steps: levels of noise on the way, 2 or more: a way takes `2 steps - 1` passes.

    Raises:
        ParameterError: there are fewer than two steps.

    Source:
        Song et al. 2021, arXiv:2011.13456; directions in the middle features: Kwon et al. 2023, arXiv:2210.10960.
    """

    def __init__(self, model: Diffusion, steps: int = 6) -> None:
        super().__init__()
        if steps < 2:
            raise ParameterError(f"steps={steps} must be 2 or more: the way from noise to an image has two levels")
        self.model = model
        end = min(float(model.ratios[-1]), LARGEST) if isinstance(model, DDPM) else LARGEST
        self.levels = karras_grid(steps, 0.999 * end, LEAST)
        """Deviations of the noise on the way, falling, float64 `[steps]`."""

    @property
    @override
    def image(self) -> tuple[int, int, int]:
        return self.model.image

    @property
    @override
    def latents(self) -> int:
        channels, height, width = self.image
        return channels * height * width

    @property
    @override
    def name(self) -> str:
        return self.model.kind

    @property
    def deviation(self) -> float:
        """Of x at the first level of the way: `sqrt(1/4 + t^2)`, images having a deviation of about 1/2."""
        return float((0.25 + self.levels[0] ** 2).sqrt())

    @override
    def features(self, codes: Tensor) -> Tensor:
        start = self.deviation * codes.view(-1, *self.image)
        return (heun(self._clean, start, self.levels, end=None) + 1) / 2

    @override
    def encode(self, images: Tensor) -> Tensor:
        noise = heun(self._clean, 2 * images - 1, self.levels.flip(0), end=None)
        return noise.flatten(1) / self.deviation

    @override
    def middle(self, codes: Tensor) -> Tensor:
        found: list[Tensor] = []
        start = self.deviation * codes.view(-1, *self.image)
        net = self.model.net
        if not isinstance(net, UNet):
            return self._clean(start, float(self.levels[0])).flatten(1)
        hook = net.middle[-1].register_forward_hook(lambda module, given, out: found.append(out))
        try:
            self._clean(start, float(self.levels[0]))
        finally:
            hook.remove()
        return found[0].flatten(1)

    def _clean(self, x: Tensor, t: float) -> Tensor:
        """The mean of clean x in [-1, 1] given x with noise of deviation t."""
        return 2 * self.model.denoise((x + 1) / 2, t / 2) - 1
