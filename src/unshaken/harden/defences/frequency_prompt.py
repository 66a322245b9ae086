"""Frequency prompts: at test time, a learned pattern of medium and high frequencies for each cluster of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.device import widen
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.progress import track
from unshaken.core.registry import register
from unshaken.core.search_copy import search_copy
from unshaken.harden.defences._prompts import (
    Form,
    Gradient,
    PromptedClassifier,
    Prompts,
    default_radius,
    guarded,
    pattern,
    selection_features,
    within,
)
from unshaken.harden.engine.defence import Defence, GuardedModel

__all__ = ["FrequencyPrompt", "PromptedClassifier", "Prompts", "guarded", "k_means", "selection_features"]

ITERATIONS = 50
"""Iterations of k-means."""
PIECE = 500


@register("frequency-prompt", reference="Huang et al. 2023, arXiv:2308.10315", needs=("gradient",))
class FrequencyPrompt(Defence):
    """Frequency prompts: adds a learned perturbation in the frequency domain to each input before classifying it.

    `fit` finds clusters of training images and one prompt each that lowers the loss of the frozen model; `wrap` puts
    them around it. Such a guard is weaker than it looks to an attack that does not know it: attack the guarded model.

    Forms: `additive`; `replace`, where the prompt stands in the place of the image's own frequencies beyond the
    radius; `multiplicative`, spectrum times `1 + P`; `amplitude`, the same with the phase kept; `spatial`, a pattern of
    pixels, for comparison. P starts at 0, and Adam moves it.
    """

    file: str = Field(default="", description="safetensors file of fitted prompts")
    gradient: Gradient = Field(
        default="selection",
        description="gradient for attacks: exact; selection: nearest prototype hard forwards, soft backwards; "
        "selection+clip: the clip to [0, 1] passes gradients too",
    )
    clusters: PositiveInt = Field(default=20, description="K of k-means; 1 for a universal prompt")
    radius: NonNegativeFloat | None = Field(
        default=None, description="r in bins: only frequencies beyond it are changed; default height / 8"
    )
    budget: NonNegativeFloat = Field(
        default=0.3, description="maximum size of the added perturbation, for pixels in [0, 1]"
    )
    norm: Literal["linf", "l2"] = Field(default="linf", description="norm of the budget: linf clips, l2 shrinks")
    form: Form = Field(default="additive", description="how a prompt and an image come together")
    pool: PositiveInt = Field(
        default=4, description="side in pixels of the cells whose means are the selection features"
    )
    layer: str = Field(
        default="", description="selection features from this layer of the model instead; attacks flip them"
    )
    lr: PositiveFloat = Field(default=1.0, description="learning rate of Adam, in units of the unnormalised DFT")
    epochs: PositiveInt = Field(default=2, description="number of passes over the training images")
    batch_size: PositiveInt = Field(default=128, description="number of images per step")

    @override
    def wrap(self, model: Classifier) -> GuardedModel:
        if not self.file:
            raise ParameterError(
                "frequency-prompt: file='' names no prompts: FrequencyPrompt().fit(model, images, labels).save(FILE) "
                "makes them"
            )
        return guarded(model, Prompts.load(self.file), gradient=self.gradient)

    def fit(self, model: Classifier, images: Tensor, labels: Tensor | None = None, *, seed: int = 0) -> Prompts:
        """Clusters and prompts from training images; the model is left as it is.

        Args:
            model: frozen.
            images: uint8 `[N, C, H, W]`, as the model takes them.
            labels: int64 `[N]`; None: the classes that the model predicts.
            seed: of the clusters and the order.

        Raises:
            ParameterError: there are not enough images for the clusters.
            ModelError: the model gives no gradients.
        """
        if not model.differentiable:
            raise ModelError(f"model {model.name!r} gives no gradients: prompts cannot be fitted to it")
        if len(images) < self.clusters:
            raise ParameterError(f"frequency-prompt: {len(images)} images cannot make clusters={self.clusters}")
        device = next(iter(model.parameters()), images).device
        with evaluating(model):
            features = _in_pieces(lambda x: selection_features(model, x, self.pool, self.layer), images, device)
            if labels is None:
                labels = _in_pieces(model, images, device).argmax(1)
            prototypes, chosen = k_means(features, self.clusters, seed)
            blank = self._blank(images, prototypes, features, chosen, labels)
            quick = search_copy(model, _unit(images[:2], device)) or model
            return self._learned(quick, images, labels, chosen, blank, seed, device)

    def _blank(self, images: Tensor, prototypes: Tensor, features: Tensor, chosen: Tensor, labels: Tensor) -> Prompts:
        """The clusters, with prompts of nothing."""
        channels, height, width = images.shape[1:]
        last = (width,) if self.form == "spatial" else (width // 2 + 1, 2)
        votes = torch.zeros(self.clusters, int(labels.max()) + 1).index_put_(
            (chosen, labels), torch.ones(len(labels)), accumulate=True
        )
        return Prompts(
            prototypes=prototypes,
            spectra=torch.zeros(self.clusters, channels, height, *last),
            width=width,
            pool=0 if self.layer else self.pool,
            form=self.form,
            norm=self.norm,
            layer=self.layer,
            radius=default_radius(height) if self.radius is None else self.radius,
            budget=self.budget,
            spread=float((features - prototypes[chosen]).square().sum(1).mean()),
            purity=votes.amax(1) / votes.sum(1).clamp_min(1),
            commonest=votes.argmax(1),
            counts=votes.sum(1),
        )

    def _learned(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        chosen: Tensor,
        blank: Prompts,
        seed: int,
        device: torch.device,
    ) -> Prompts:
        """`min_P E CE(f(x'), y)` over all clusters at once.

        A loop of its own: the model stays as it is, so that there is nothing for the training loop to check or keep.
        """
        spectra = blank.spectra.clone().to(device).requires_grad_()
        descent = torch.optim.Adam([spectra], lr=self.lr)
        order = torch.Generator().manual_seed(seed)
        with track("prompts", self.epochs * -(-len(images) // self.batch_size)) as task:
            for _ in range(self.epochs):
                for rows in torch.split(torch.randperm(len(images), generator=order), self.batch_size):
                    table = spectra
                    if self.form not in ("multiplicative", "amplitude"):
                        table = within(pattern(spectra, blank.radius, blank.width, self.form), self.budget, self.norm)
                    prompted = blank.apply(_unit(images[rows], device), table[chosen[rows].to(device)])
                    loss = F.cross_entropy(model(prompted), labels[rows].to(device))
                    (slope,) = torch.autograd.grad(loss, spectra)
                    spectra.grad = slope
                    descent.step()
                    task.advance()
        return replace(blank, spectra=spectra.detach().cpu())


def k_means(features: Tensor, clusters: int, seed: int) -> tuple[Tensor, Tensor]:
    """Centres `[K, F]` and the nearest of each row `[N]`, by k-means++ and Lloyd's steps; the same for the same seed.

    Raises:
        ParameterError: a cluster came out empty.
    """
    from scipy.cluster.vq import ClusterError, kmeans2

    rows = features.cpu().double().numpy()
    if clusters == 1:
        return widen(features).mean(0, keepdim=True).float(), torch.zeros(len(features), dtype=torch.int64)
    try:
        if len(np.unique(rows, axis=0)) < clusters:
            raise ClusterError
        centres, chosen = kmeans2(
            rows,
            clusters,
            iter=ITERATIONS,
            minit="++",
            missing="raise",
            seed=np.random.Generator(np.random.Philox(seed)),
        )
    except ClusterError:
        raise ParameterError(f"clusters={clusters}: one came out empty; ask for fewer, or give more images") from None
    return torch.from_numpy(centres).float(), torch.from_numpy(chosen).long()


def _unit(images: Tensor, device: torch.device) -> Tensor:
    return images.to(device).float() / 255


@torch.no_grad()
def _in_pieces(function: Callable[[Tensor], Tensor], images: Tensor, device: torch.device) -> Tensor:
    return torch.cat([function(_unit(x, device)).cpu() for x in torch.split(images, PIECE)])
