"""Search spaces of generative models, and the space that a name means."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override

from unshaken.attack.semantic._search_space import PixelSpace, SearchSpace, TransformationSpace
from unshaken.core.boxes import boxed
from unshaken.core.consent import is_code
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.generate.generator import Diffusion
from unshaken.generate.latent.latent_generator import LatentGenerator, check_finite
from unshaken.generate.latent.loading import load_latent_generator
from unshaken.generate.saved import load_diffusers, load_generator

OWN = ("pixels", "transform")


class DenoisedSpace(SearchSpace):
    """What a diffusion model makes of the image with a little noise, in one pass: image to image at small strength.

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
