"""Denoise, then classify: the model sees what a diffusion model makes of a noisy image in one step."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.registry import register
from unshaken.generate.generator import Diffusion
from unshaken.generate.saved import load, load_diffusers
from unshaken.harden.engine.defence import Defence, GuardedModel


@register("denoise", reference="Salman et al. 2020, arXiv:2003.01908; Carlini et al. 2023, arXiv:2206.10550")
class Denoise(Defence):
    """Denoised smoothing: removes the noise of randomised smoothing with a diffusion model, then classifies.

    The model behind it needs no training with noise. Certify with the same sigma: `unshaken certify --method
    smoothing:sigma=0.25 --model 'SPEC?defence=denoise:denoiser=FILE,sigma=0.25'`.
    """

    denoiser: str = Field(
        description="file of a diffusion model (unshaken.generate.saved), or diffusers:DIR for a saved UNet2DModel"
    )
    sigma: float = Field(default=0.25, description="deviation of the noise, in [0, 1] pixel units", gt=0, le=40)

    @override
    def wrap(self, model: Classifier) -> GuardedModel:
        denoiser = denoiser_for(self.denoiser, model)
        denoiser.check_sigma(self.sigma)
        return GuardedModel(DenoisingClassifier(denoiser, self.sigma, model), model, name=self.info.name)


class DenoisingClassifier(nn.Module):
    """A model behind a denoiser.

    Args:
        denoiser: of images with noise.
        sigma: deviation of that noise, in [0, 1] pixel units.
        model: from images in [0, 1] to logits.
    """

    def __init__(self, denoiser: Diffusion, sigma: float, model: Classifier) -> None:
        super().__init__()
        self.denoiser, self.sigma, self.model = denoiser, sigma, model

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(self.denoiser.denoise(images.float(), self.sigma).to(images))
        return logits


def denoiser_for(text: str, model: Classifier) -> Diffusion:
    """A diffusion model for the images of a classifier, on its device.

    Args:
        text: path of a file that `unshaken.generate.saved.save` wrote, or `diffusers:DIR`.
        model: the classifier.

    Raises:
        ParameterError: nothing is named.
        ModelError: it cannot be loaded, or is for images of another size or number of channels.
    """
    kind, _, folder = text.partition(":")
    if not text or (kind == "diffusers" and not folder):
        raise ParameterError(f"denoiser {text!r}: write the path of a saved diffusion model, or diffusers:DIR")
    denoiser = load_diffusers(folder) if kind == "diffusers" else load(text)
    own = (model.view.channels, model.view.height, model.view.width) if model.view is not None else denoiser.image
    if own != denoiser.image:
        theirs, ours = ("x".join(str(n) for n in s) for s in (denoiser.image, own))
        raise ModelError(
            f"the denoiser {text} is for images of {theirs} (channels x height x width), the model {model.name!r} for "
            f"{ours}"
        )
    weight = next(model.parameters(), None)
    return denoiser if weight is None else denoiser.to(weight.device)
