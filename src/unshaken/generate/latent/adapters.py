"""Generators with a code, made of principal components and diffusion models."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.device import move, widen
from unshaken.core.errors import DataError, ParameterError
from unshaken.generate.ddpm import DDPM
from unshaken.generate.edm import LARGEST, heun, karras_grid
from unshaken.generate.generator import Diffusion
from unshaken.generate.latent.directions import with_signs
from unshaken.generate.latent.latent_generator import LatentGenerator
from unshaken.generate.unet import UNet


class LinearGenerator(LatentGenerator):
    """`G(w) = m + W w`; the code of an image is that of least squares.

    Args:
        weight: W, `[D, d]`, float32.
        mean: m, `[D]`.
        image: channels, height and width, D in all.
    """

    def __init__(self, weight: Tensor, mean: Tensor, image: tuple[int, int, int]) -> None:
        super().__init__()
        self._image = image
        self._inverse = torch.linalg.pinv(weight.cpu().double())  # no buffer: some devices have no float64
        for name, value in {"weight": weight, "mean": mean}.items():
            self.register_buffer(name, value)

    weight: Tensor
    mean: Tensor

    @property
    @override
    def image(self) -> tuple[int, int, int]:
        return self._image

    @property
    @override
    def latents(self) -> int:
        return self.weight.shape[1]

    @property
    @override
    def name(self) -> str:
        return "of principal components"

    @override
    def features(self, codes: Tensor) -> Tensor:
        return (codes @ self.weight.T + self.mean).view(-1, *self._image)

    @override
    def encode(self, images: Tensor) -> Tensor:
        inverse = move(self._inverse, images.device)
        return ((widen(images.flatten(1)) - self.mean) @ inverse.T).to(self.weight)

    @override
    def first_weight(self) -> Tensor:
        return self.weight


def fit_linear_generator(images: Tensor, components: int) -> LinearGenerator:
    """Principal components of images, scaled so that the codes of these images have unit deviation.

    Args:
        images: float `[N, C, H, W]` in [0, 1]; their order does not matter.
        components: d at most; fewer where there are few images.

    Raises:
        DataError: there are fewer than two images, or all are alike.
    """
    x = widen(images.flatten(1))
    mean = x.mean(0)
    if len(x) < 2 or bool((x == x[:1]).all()):
        raise DataError(f"principal components of {len(x)} images, which do not differ, do not exist: give more images")
    _, values, directions = torch.linalg.svd(x - mean, full_matrices=False)
    rank = int((values > 1e-6 * values[0]).sum())
    d = max(1, min(components, rank, len(x) - 1))
    weight = (with_signs(directions[:d]) * (values[:d] / (len(x) - 1) ** 0.5)[:, None]).T
    return LinearGenerator(
        weight.float().contiguous(), mean.float(), (images.shape[1], images.shape[2], images.shape[3])
    )


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
        """Deviation of x at the first level of the way: `sqrt(1/4 + t^2)`, images having a deviation of about 1/2."""
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
        with net.middle[-1].register_forward_hook(lambda module, given, out: found.append(out)):
            self._clean(start, float(self.levels[0]))
        return found[0].flatten(1)

    def _clean(self, x: Tensor, t: float) -> Tensor:
        """The mean of clean x in [-1, 1] given x with noise of deviation t."""
        return 2 * self.model.denoise((x + 1) / 2, t / 2) - 1
