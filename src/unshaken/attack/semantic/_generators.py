"""Search spaces of generative models, and the space that a name means."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unshaken.attack.semantic._search_space import PixelSpace, SearchSpace, TransformationSpace
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.rng import SampleRng
from unshaken.generate.diffusion import Diffusion
from unshaken.generate.from_diffusers import load_diffusers
from unshaken.generate.saved import load_generator

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

    def to(self, device: torch.device) -> DenoisedSpace:
        """See `SearchSpace.to`."""
        return DenoisedSpace(self.model.to(device), self.sigma)

    def start(self, images: Tensor, rng: SampleRng) -> Tensor:
        """The images with noise."""
        self.model.check(images, None)
        return images + self.sigma * rng.fold("noise").normal(*images.shape[1:]).to(images)

    def render(self, codes: Tensor, images: Tensor) -> Tensor:
        """Without it."""
        return self.model.denoise(codes, self.sigma)


def find_space(generator: str, *, tv: float, noise: float) -> SearchSpace:
    """The space that a generator's name means.

    Args:
        generator: `pixels`, `transform`, the path of a saved generative model, or `diffusers:DIR`.
        tv: weight of the total variation of pixels.
        noise: deviation of the noise for diffusion models.

    Raises:
        ParameterError: nothing is named, or the model was not trained for such noise.
        ModelError: the generator cannot be loaded.
    """
    if not generator:
        raise ParameterError(f"generator '': use one of {', '.join(OWN)}, or the SPEC of a generative model")
    if generator in OWN:
        return PixelSpace(tv) if generator == "pixels" else TransformationSpace()
    kind, _, folder = generator.partition(":")
    model = load_diffusers(folder) if kind == "diffusers" else load_generator(generator)
    return space_of(model.eval().requires_grad_(False), generator, noise)


def space_of(model: nn.Module, name: str, noise: float) -> SearchSpace:
    """The search space of a loaded model.

    Args:
        model: in evaluation mode, without weight gradients.
        name: for messages.
        noise: deviation of the noise for diffusion models.

    Raises:
        ModelError: no gradient leads from its codes to its images.
    """
    if isinstance(model, Diffusion):
        return DenoisedSpace(model, noise)
    raise ModelError(f"generator {name!r} is a {type(model).__name__}, which has no codes to search in: use a VAE")
