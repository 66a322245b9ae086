"""`SearchSpace`: what a search changes: pixels, or parameters of a family of transformations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.attack.semantic._committee import Committee, Vote
from unshaken.core.boxes import boxed
from unshaken.core.classifier import Classifier
from unshaken.core.consent import is_code
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.oracle import Oracle
from unshaken.core.rng import SampleRng
from unshaken.generate.generator import Diffusion
from unshaken.generate.latent.latent_generator import LatentGenerator, check_finite
from unshaken.generate.latent.loading import load_latent_generator
from unshaken.generate.saved import load_diffusers, load_generator

LIMITS = {
    "angle": math.radians(30), "right": 0.3, "down": 0.3, "zoom": 0.3, "brightness": 0.3, "contrast": 0.7,
    "saturation": 0.9, "sharpness": 0.9,
}  # fmt: skip
"""What a parameter of 1 means: radians; shares of half the side; logarithms of scale and of contrast; a pixel's value;
shares by which colours differ more from grey, and images from their blurred copy."""
GREY = (0.299, 0.587, 0.114)
FLAT = 1 / 255
"""Least deviation that a step is measured in, so that a flat image can be left."""


class SearchSpace(ABC):
    """Images as codes: a search moves in codes and queries images."""

    @abstractmethod
    def start(self, images: Tensor, rng: SampleRng) -> Tensor:
        """Codes `[N, ...]` of images `[N, C, H, W]` in [0, 1].

        Raises:
            ModelError: the generator is for other images, or gives NaN.
        """

    @abstractmethod
    def render(self, codes: Tensor, images: Tensor) -> Tensor:
        """The images `[N, C, H, W]` in [0, 1] of codes; gradients by the codes pass through.

        Args:
            codes: `[N, ...]`.
            images: the unchanged images.
        """

    def to(self, device: torch.device) -> SearchSpace:
        """The same space on a device."""
        return self

    def project(self, codes: Tensor) -> Tensor:
        """The nearest codes that are allowed."""
        return codes

    def scale(self, codes: Tensor) -> Tensor:
        """The unit of a step, `[N]`: the deviation of each image's own start code."""
        return codes.flatten(1).std(1, correction=0).clamp_min(FLAT)

    def penalty(self, images: Tensor) -> Tensor | None:
        """A value that natural images have little of, `[N]`; None for no penalty."""
        return None


def total_variation(images: Tensor) -> Tensor:
    """The mean absolute difference of pixels that are neighbours, down and right, `[N]`.

    >>> total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])).tolist()
    [1.0]
    """
    down, right = images.diff(dim=2), images.diff(dim=3)
    return down.abs().flatten(1).sum(1) / max(1, down[0].numel()) + right.abs().flatten(1).sum(1) / max(
        1, right[0].numel()
    )


class PixelSpace(SearchSpace):
    """The pixels themselves, with total variation as the prior.

    Args:
        weight: of the total variation in what is made small, in nats.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight

    @override
    def start(self, images: Tensor, rng: SampleRng) -> Tensor:
        return images

    @override
    def render(self, codes: Tensor, images: Tensor) -> Tensor:
        return boxed(codes)

    @override
    def project(self, codes: Tensor) -> Tensor:
        return codes.clamp(0, 1)

    @override
    def penalty(self, images: Tensor) -> Tensor | None:
        return self.weight * total_variation(images) if self.weight else None


class TransformationSpace(SearchSpace):
    """Rotation, shift, zoom, brightness, contrast, saturation and sharpness: eight numbers in [-1, 1], at first 0."""

    @override
    def start(self, images: Tensor, rng: SampleRng) -> Tensor:
        return images.new_zeros(len(images), len(LIMITS))

    @override
    def render(self, codes: Tensor, images: Tensor) -> Tensor:
        return transformed(images, codes)

    @override
    def project(self, codes: Tensor) -> Tensor:
        return codes.clamp(-1, 1)

    @override
    def scale(self, codes: Tensor) -> Tensor:
        return torch.ones_like(codes[:, 0])


def transformed(images: Tensor, amounts: Tensor) -> Tensor:
    """Images turned, shifted and zoomed about their centre with the border repeated, then changed in colour.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        amounts: `[N, 8]` in [-1, 1], in the order and the units of `LIMITS`; 0 changes nothing.

    Returns:
        The same shape, in [0, 1]; differentiable by the amounts.
    """
    limits = torch.tensor(list(LIMITS.values()), device=amounts.device, dtype=amounts.dtype)
    angle, right, down, zoom, brightness, contrast, saturation, sharpness = (amounts * limits).unbind(1)
    ratio = images.shape[2] / images.shape[3]
    cos, sin, size = angle.cos(), angle.sin(), (-zoom).exp()
    rows = [cos * size, sin * size * ratio, -right, -sin * size / ratio, cos * size, -down]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    wide = (-1, 1, 1, 1)
    mean = moved.mean((2, 3), keepdim=True)
    x = (moved - mean) * contrast.exp().view(wide) + mean + brightness.view(wide)
    if images.shape[1] == 3:
        grey = (x * x.new_tensor(GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
        x = grey + (1 + saturation.view(wide)) * (x - grey)
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return boxed(blurred + (1 + sharpness.view(wide)) * (x - blurred))


OWN = ("pixels", "transform")


class DenoisedSpace(SearchSpace):
    """The image with a little noise, denoised by a diffusion model in one pass: image to image at small strength.

    Args:
        model: in evaluation mode, without weight gradients.
        sigma: deviation of the noise, in [0, 1] pixel units.

    Raises:
        ParameterError: the model was not trained for such noise.
    """

    def __init__(self, model: Diffusion, sigma: float) -> None:
        model.check_sigma(sigma)
        self.model, self.sigma = model, sigma

    @override
    def to(self, device: torch.device) -> DenoisedSpace:
        return DenoisedSpace(self.model.to(device), self.sigma)

    @override
    def start(self, images: Tensor, rng: SampleRng) -> Tensor:
        self.model.check(images, None)
        return images + self.sigma * rng.fold("noise").normal(*images.shape[1:]).to(images)

    @override
    def render(self, codes: Tensor, images: Tensor) -> Tensor:
        return self.model.denoise(codes, self.sigma)


class LatentSpace(SearchSpace):
    """The codes of a generator that has an encoder.

    Args:
        model: in evaluation mode, without weight gradients.
    """

    def __init__(self, model: LatentGenerator) -> None:
        self.model = model

    @override
    def to(self, device: torch.device) -> LatentSpace:
        return LatentSpace(self.model.to(device))

    @torch.no_grad()
    @override
    def start(self, images: Tensor, rng: SampleRng) -> Tensor:
        self.model.check_images(images)
        codes = self.model.encode(images)
        if codes is None:
            raise ModelError(
                f"the generator {self.model.name} has no encoder, so that no search can start from an image: give it a "
                "method encode(images)"
            )
        check_finite(codes, "codes", self.model.name)
        check_finite(self.model.generate(codes), "images", self.model.name)
        return codes

    @override
    def render(self, codes: Tensor, images: Tensor) -> Tensor:
        return boxed(self.model.generate(codes))


def find_space(generator: str, *, tv: float, noise: float) -> SearchSpace:
    """The space that a generator's name means.

    Args:
        generator: `pixels`, `transform`, or the SPEC of a generative model: a file that `unshaken generate fit` wrote,
            `diffusers:DIR`, or `py:FILE:FACTORY`.
        tv: weight of the total variation of pixels.
        noise: deviation of the noise for diffusion models.

    Raises:
        ParameterError: nothing is named, or the model was not trained for such noise.
        ModelError: the generator cannot be loaded, or has no codes.
    """
    if not generator:
        raise ParameterError(f"generator '': use one of {', '.join(OWN)}, or the SPEC of a generative model")
    if generator in OWN:
        return PixelSpace(tv) if generator == "pixels" else TransformationSpace()
    kind, _, folder = generator.partition(":")
    if is_code(generator):
        return LatentSpace(load_latent_generator(generator))
    model = load_diffusers(folder) if kind == "diffusers" else load_generator(generator)
    return space_of(model, generator, noise)


def space_of(model: nn.Module, name: str, noise: float) -> SearchSpace:
    """The search space of a loaded model.

    Args:
        model: a diffusion model, or one with codes.
        name: for messages.
        noise: deviation of the noise for diffusion models.

    Raises:
        ModelError: no gradient leads from its codes to its images.
    """
    model.eval().requires_grad_(False)
    if isinstance(model, Diffusion):
        return DenoisedSpace(model, noise)
    if isinstance(model, LatentGenerator):
        return LatentSpace(model)
    raise ModelError(f"generator {name!r} is a {type(model).__name__}, which has no codes to search in: use a vae")


@dataclass(frozen=True, slots=True, eq=False)
class Tools:
    """Models that are loaded once a run.

    Args:
        space: what is changed.
        oracles: each with the model's classes.
        held_out: likewise.
        mask: bool, of one code: the coordinates that are changed; None for all.
    """

    space: SearchSpace
    oracles: Sequence[Classifier]
    held_out: Sequence[Classifier]
    mask: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """Models from memory, in the place of those that SPECs name.

    Args:
        oracles: in evaluation mode.
        held_out: likewise.
        generator: likewise; None for that of the parameters.
    """

    oracles: tuple[Classifier, ...] = ()
    held_out: tuple[Classifier, ...] = ()
    generator: nn.Module | None = None


class OracleSpace:
    """A search space and its oracles, whose passes are counted.

    Args:
        tools: what was loaded.
        oracle: of the run; the oracles count beside it.
        vote: see `approved`.
        min_confidence: likewise.
    """

    def __init__(self, tools: Tools, oracle: Oracle, vote: Vote, min_confidence: float) -> None:
        self.space, self.mask = tools.space, tools.mask
        self.committee, self.held_out = (
            Committee([oracle.share_meter(m) for m in models], vote, min_confidence)
            for models in (tools.oracles, tools.held_out)
        )

    @torch.no_grad()
    def show(self, codes: Tensor, clean: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Images of codes as they are stored, in 8 bits, and whether the oracles see the labels; never in NaN.

        Args:
            codes: `[N, ...]`.
            clean: the unchanged images.
            labels: int64 `[N]`.
        """
        x = (self.space.render(codes, clean) * 255).round() / 255
        good, rows = torch.zeros_like(labels, dtype=torch.bool), finite(x).nonzero().flatten()
        return x, good.index_put((rows,), self.committee.approves(x[rows], labels[rows]))

    def slope(self, gradient: Tensor, codes: Tensor, clean: Tensor) -> Tensor:
        """The gradient by codes of a loss less the space's penalty; rounding is passed straight through.

        Args:
            gradient: of the loss by the images.
            codes: where.
            clean: the unchanged images.
        """
        with torch.enable_grad():
            z = codes.detach().requires_grad_(True)
            made = self.space.render(z, clean)
            penalty = self.space.penalty(made)
            value = (made * gradient).sum() - (0 if penalty is None else penalty.sum())
            (slope,) = torch.autograd.grad(value, z)
        return slope if self.mask is None else slope * self.mask


def finite(x: Tensor) -> Tensor:
    """Bool `[N]`: whether all values of a row are finite numbers."""
    return x.flatten(1).isfinite().all(1)
