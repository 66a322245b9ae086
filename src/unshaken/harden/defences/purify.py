"""Purify, then classify: noise that drowns a perturbation, and the way back of a diffusion model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.detect.watermark.purify import as_ddpm
from unshaken.generate.ddpm import DDPM
from unshaken.generate.edm import EDM
from unshaken.harden.defences.denoise import denoiser_for
from unshaken.harden.engine.defence import Defence, Draws, GuardedModel, stand_in


@register("purify", reference="Nie et al. 2022, arXiv:2205.07460")
class Purify(Defence):
    """Add noise and walk a diffusion model's way back, at every pass anew; then classify (DiffPure).

    Gradients pass through the whole way back, whose memory grows with `steps`, and two passes differ: attack with
    `--eot` of 2 or more. What a perturbation keeps under the noise is what is left of it, so that the figure under an
    attack that goes through the guard is the one that counts.
    """

    denoiser: str = Field(description="file that 'generate fit' wrote, or diffusers:DIR for a saved UNet2DModel")
    sigma: float = Field(default=0.15, description="deviation of the noise, in [0, 1] pixel units", gt=0, le=40)
    steps: PositiveInt = Field(default=5, description="passes of the diffusion model on the way back", le=1000)
    straight_through: bool = Field(default=False, description="let gradients pass as if the image were left alone")
    seed: NonNegativeInt = Field(default=0, description="random seed of the noise")

    @property
    @override
    def random(self) -> bool:
        return True

    @override
    def wrap(self, model: Classifier) -> GuardedModel:
        found = denoiser_for(self.denoiser, model)
        found.check_sigma(self.sigma)
        chain = as_ddpm(found) if isinstance(found, EDM) else found
        if not isinstance(chain, DDPM):
            raise ModelError(f"denoiser {self.denoiser!r} has no chain of noise: use an edm or a ddpm")
        chain.timestep(self.sigma)

        def surrogates() -> Mapping[str, Classifier]:
            easy = PurifyingClassifier(chain, self.model_copy(update={"straight_through": True}), model)
            return {"straight-through": stand_in(easy, model, "straight")}

        others = None if self.straight_through else surrogates
        return GuardedModel(
            PurifyingClassifier(chain, self, model), model, name=self.info.name, random=True, surrogates=others
        )


class PurifyingClassifier(nn.Module):
    """A model behind the purification.

    Args:
        chain: the diffusion model.
        rule: noise and steps.
        model: from images in [0, 1] to logits.
    """

    def __init__(self, chain: DDPM, rule: Purify, model: Classifier) -> None:
        super().__init__()
        self.chain, self.rule, self.model, self.draws = chain, rule, model, Draws(rule.seed)

    def purified(self, images: Tensor) -> Tensor:
        """Images in [0, 1], with noise to the timestep of `sigma` and back again in `steps` passes."""
        keys = torch.randint(2**62, (len(images),), generator=self.draws.next())
        rng = SampleRng(keys).to(images.device)
        t = self.chain.timestep(self.rule.sigma)
        even = torch.linspace(t, 0, self.rule.steps, dtype=torch.float64).round().int().tolist()
        back = sorted(set(even), reverse=True)
        noise = rng.fold("noise").normal(*images.shape[1:]).to(images)
        x_t = self.chain.noised(2 * images - 1, t, noise)
        return (self.chain.reverse(x_t, back, rng.fold("back")) + 1) / 2

    @override
    def forward(self, images: Tensor) -> Tensor:
        if self.rule.straight_through:
            with torch.no_grad():
                changed = self.purified(images.float())
            clean = images + (changed.to(images) - images).detach()
        else:
            clean = self.purified(images.float()).to(images)
        logits: Tensor = self.model(clean)
        return logits
