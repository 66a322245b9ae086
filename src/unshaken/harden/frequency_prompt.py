"""Frequency prompts: at test time, a learned pattern of medium and high frequencies for each cluster of images."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from unshaken.core.classifier import Classifier, evaluating
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.progress import track
from unshaken.core.registry import register
from unshaken.core.search_copy import search_copy
from unshaken.harden._prompts import Form, Prompts, default_radius, pattern, within
from unshaken.harden.defence import Defence

Gradient = Literal["exact", "selection", "selection+clip"]
ITERATIONS = 50
"""Of k-means."""
PIECE = 500


@register("frequency-prompt", reference="Huang et al. 2023, arXiv:2308.10315", needs=("gradient",))
class FrequencyPrompt(Defence):
    """`x -> clip(x + s(irfft2(M_r P_k)))` with k the nearest prototype of the image as it comes in.

    `fit` finds clusters of training images and one prompt each that lowers the loss of the frozen model; `wrap` puts
    them around it. Such a guard is weaker than it looks to an attack that does not know it: attack the guarded model.

    Forms: `additive`; `replace`, where the prompt stands in the place of the image's own frequencies beyond the
    radius; `multiplicative`, spectrum times `1 + P`; `amplitude`, the same with the phase kept; `spatial`, a pattern of
    pixels, for comparison. P starts at 0, and Adam moves it.
    """

    file: str = Field("", description="prompts that fit found and save wrote, a safetensors file")
    gradient: Gradient = Field(
        "selection",
        description="what attacks see: exact; selection: nearest prototype hard forwards, soft backwards; "
        "selection+clip: the clip to [0, 1] passes gradients too",
    )
    clusters: PositiveInt = Field(20, description="K of k-means; 1 for a universal prompt")
    radius: NonNegativeFloat | None = Field(None, description="r in bins: prompts live beyond; None: height / 8")
    budget: NonNegativeFloat = Field(0.3, description="of the change in [0, 1] pixel units under norm")
    norm: Literal["linf", "l2"] = Field("linf", description="of the budget: clipped, or shrunk")
    form: Form = Field("additive", description="how a prompt and an image come together")
    pool: PositiveInt = Field(4, description="selection features: means of cells of so many pixels a side")
    layer: str = Field("", description="selection features from this layer of the model instead; attacks flip them")
    lr: PositiveFloat = Field(1.0, description="of Adam, in units of the unnormalised DFT")
    passes: PositiveInt = Field(2, description="over the training images")
    batch_size: PositiveInt = Field(128, description="images a step")

    def wrap(self, model: Classifier) -> Classifier:
        """The model behind the prompts in `file`.

        Raises:
            ParameterError: no file is named.
            DataError: it cannot be read.
            ModelError: the model takes images of another size.
        """
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
            labels: int64 `[N]`; None: what the model says.
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
        """`min_P E CE(f(x'), y)` over all clusters at once."""
        spectra = blank.spectra.clone().to(device).requires_grad_()
        descent = torch.optim.Adam([spectra], lr=self.lr)
        order = torch.Generator().manual_seed(seed)
        with track("prompts", self.passes * -(-len(images) // self.batch_size)) as task:
            for _ in range(self.passes):
                for rows in torch.randperm(len(images), generator=order).split(self.batch_size):
                    table = spectra
                    if self.form not in ("multiplicative", "amplitude"):
                        table = within(pattern(spectra, blank.radius, blank.width, self.form), self.budget, self.norm)
                    seen = blank.apply(_unit(images[rows], device), table[chosen[rows].to(device)])
                    loss = F.cross_entropy(model(seen), labels[rows].to(device))
                    (slope,) = torch.autograd.grad(loss, spectra)
                    spectra.grad = slope
                    descent.step()
                    task.advance()
        return replace(blank, spectra=spectra.detach().cpu())


class Prompted(nn.Module):
    """A classifier behind prompts; see `guarded`.

    Args:
        model: on images in [0, 1].
        prompts: which.
        gradient: what attacks see.
        fixed: a cluster that every image gets; None for the nearest.
    """

    def __init__(self, model: Classifier, prompts: Prompts, gradient: Gradient, fixed: int | None) -> None:
        super().__init__()
        self.model, self.prompts, self.gradient, self.fixed = model, prompts, gradient, fixed
        self.prototypes: Tensor
        self.table: Tensor
        self.register_buffer("prototypes", prompts.prototypes.clone())
        self.register_buffer("table", prompts.table().clone())

    def forward(self, images: Tensor) -> Tensor:
        """Images `[N, C, H, W]` in [0, 1] to logits `[N, K]`."""
        logits: Tensor = self.model(self.shown(images))
        return logits

    def shown(self, images: Tensor) -> Tensor:
        """What the model gets to see, `[N, C, H, W]` in [0, 1]."""
        _check_shape(images, self.prompts.shape)
        if self.fixed is not None:
            row = self.table[self.fixed].expand(images.shape[0], *self.table.shape[1:])
        elif self.gradient == "exact":
            row = self.table[self.select(images)]
        else:
            away = self.distances(images)
            soft = (-away / max(self.prompts.spread, 1e-12)).softmax(1)
            hard = F.one_hot(away.argmin(1), len(self.prompts)).to(soft)
            row = torch.einsum("nk,k...->n...", hard + (soft - soft.detach()), self.table)
        if self.gradient != "selection+clip":
            return self.prompts.apply(images, row)
        open_ended = self.prompts.apply(images, row, clip=False)
        return open_ended.detach().clamp(0, 1) + (open_ended - open_ended.detach())

    def select(self, images: Tensor) -> Tensor:
        """The nearest prototype of each image, int64 `[N]`."""
        return self.distances(images).argmin(1)

    def distances(self, images: Tensor) -> Tensor:
        """Squared distances to the prototypes, `[N, K]`."""
        features = selection_features(self.model, images, self.prompts.pool, self.prompts.layer)
        products = features @ self.prototypes.T
        return features.square().sum(1, keepdim=True) - 2 * products + self.prototypes.square().sum(1)


def guarded(
    model: Classifier, prompts: Prompts, *, gradient: Gradient = "selection", fixed: int | None = None
) -> Classifier:
    """A model behind frequency prompts, in evaluation mode; weights are shared with the model.

    Args:
        model: left as it is.
        prompts: of the model's own image size.
        gradient: see `FrequencyPrompt`.
        fixed: a cluster that every image gets, for attacks that take the selection as given; None for the nearest.

    Raises:
        ModelError: the model takes images of another size.
        ParameterError: there is no such cluster or gradient.
    """
    if model.input_size is not None and model.input_size != prompts.shape[1:]:
        raise ModelError(f"model {model.name!r} takes images of {model.input_size}, the prompts {prompts.shape[1:]}")
    if fixed is not None and not 0 <= fixed < len(prompts):
        raise ParameterError(f"fixed={fixed} is no cluster: there are 0 to {len(prompts) - 1}")
    if gradient not in get_args(Gradient):
        raise ParameterError(f"gradient={gradient!r} must be one of {', '.join(get_args(Gradient))}")
    shared = {id(t): t for t in (*model.parameters(), *model.buffers())}
    device = next(iter(model.parameters()), prompts.prototypes).device
    return (
        Classifier(
            Prompted(copy.deepcopy(model, shared), prompts, gradient, fixed),
            classes=model.classes,
            view=model.view,
            differentiable=model.differentiable,
            name=f"{model.name} behind frequency prompts",
            reject=model.reject,
        )
        .to(device)
        .eval()
    )


def selection_features(model: Classifier, images: Tensor, pool: int, layer: str = "") -> Tensor:
    """What images are clustered and selected by, `[N, F]`.

    Args:
        model: for its layer, if one is named.
        images: `[N, C, H, W]` in [0, 1].
        pool: side in pixels of the cells whose means are taken.
        layer: whose output is taken instead: mean over places or tokens, at unit length.
    """
    if not layer:
        return F.avg_pool2d(images, pool).flatten(1)
    found = model.features(images, [layer])[1][layer]
    if found.ndim == 4:
        found = found.mean((2, 3))
    elif found.ndim == 3:
        found = found.mean(1)
    return F.normalize(found.flatten(1), dim=1)


def k_means(features: Tensor, clusters: int, seed: int) -> tuple[Tensor, Tensor]:
    """Centres `[K, F]` and the nearest of each row `[N]`, by k-means++ and Lloyd's steps; the same for the same seed.

    Raises:
        ParameterError: a cluster came out empty.
    """
    from scipy.cluster.vq import ClusterError, kmeans2

    rows = features.double().cpu().numpy()
    if clusters == 1:
        return features.double().mean(0, keepdim=True).float(), torch.zeros(len(features), dtype=torch.int64)
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


@torch.fx.wrap
def _check_shape(images: Tensor, shape: tuple[int, int, int]) -> None:
    if tuple(images.shape[1:]) != tuple(shape):
        raise ModelError(f"frequency prompts are for images of {tuple(shape)}, not {tuple(images.shape[1:])}")


def _unit(images: Tensor, device: torch.device) -> Tensor:
    return images.to(device).float() / 255


@torch.no_grad()
def _in_pieces(function: Callable[[Tensor], Tensor], images: Tensor, device: torch.device) -> Tensor:
    return torch.cat([function(_unit(x, device)).cpu() for x in images.split(PIECE)])
