"""MAE: pretraining a vision transformer by rebuilding hidden patches, in pixels or in a teacher's features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, cast

import torch
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.device import device_of
from unshaken.core.errors import ModelError, ParameterError
from unshaken.core.registry import register
from unshaken.core.rng import seeded
from unshaken.harden.engine.projection import load_without
from unshaken.harden.engine.recipe import CLASSES, UNLABELLED, FirstTry, Recipe, Setup, Step
from unshaken.harden.recipes.pretraining._masked import (
    HEADS,
    Decoder,
    MaskedAutoencoder,
    Parts,
    cells_of,
    patches_of,
    visible,
)
from unshaken.models.loaders.load import second_model


def reconstruction_loss(predicted: Tensor, wanted: Tensor, hidden: Tensor) -> Tensor:
    """The mean squared error over the hidden patches alone, a scalar.

    Args:
        predicted: `[N, P, F]`.
        wanted: `[N, P, F]`.
        hidden: bool `[N, P]`.
    """
    error = (predicted - wanted).square().mean(-1)
    return (error * hidden).sum() / hidden.sum()


@register("mae", reference="He et al. 2021, arXiv:2111.06377")
class MaskedAutoencoding(Recipe):
    """Masked autoencoding (MAE): pretrains a vision transformer to reconstruct hidden patches; needs no labels.

    Labels are not used, and the head is not trained: fine-tune what comes out. The decoder leaves after the last step.
    Targets are the patch's own pixels, or the features of a teacher at its place, each brought to mean 0 and
    deviation 1. It knows `small-vit` and timm's plain vision transformers. Give `select=last`, for held-out accuracy
    says nothing here.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss", "net"})
    learns_from: ClassVar[frozenset[str]] = frozenset({CLASSES, UNLABELLED})
    first_try: ClassVar[FirstTry] = FirstTry(arch="small-vit")
    refuses: ClassVar[Mapping[str, str]] = {
        "inner": "there is no label to attack; pretrain first, then train adversarially",
        "targets": "labels are not used; leave it for fine-tuning",
        "views": "one view is rebuilt; leave it for fine-tuning",
    }

    mask: float = Field(default=0.75, gt=0, lt=1, description="share of the patches that is hidden")
    target: Literal["pixels", "features"] = Field(
        default="pixels", description="target of the reconstruction: pixels or features"
    )
    teacher: str = Field(default="", description="model SPEC, for features")
    layer: str = Field(default="", description="layer of the teacher whose output has shape [N, F, H, W]")
    features: NonNegativeInt = Field(default=0, description="F of that layer")
    width: PositiveInt = Field(default=64, multiple_of=HEADS, description="width of the decoder's tokens")
    depth: PositiveInt = Field(default=1, description="blocks of the decoder")
    seed: int = Field(default=0, ge=0, description="random seed of the decoder's initial weights")

    @model_validator(mode="after")
    def _whole(self) -> MaskedAutoencoding:
        given = (bool(self.teacher), bool(self.layer), bool(self.features))
        if not (all(given) if self.target == "features" else not any(given)):
            raise ValueError("target=features needs teacher, layer and features; pixels need none of them")
        return self

    @property
    @override
    def further_models(self) -> tuple[str, ...]:
        return (self.teacher,) if self.teacher else ()

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        if isinstance(model.net, MaskedAutoencoder):
            return model
        parts = Parts(model.net)
        count = parts.grid[0] * parts.grid[1]
        if count < 2:
            raise ModelError(f"mae: model {model.name!r} has {count} patch: there is nothing to hide")
        channels = next(p.shape[1] for p in model.net.parameters() if p.ndim == 4)
        out = self.features or channels * parts.patch[0] * parts.patch[1]
        device = device_of(model)
        with seeded(self.seed):
            decoder = Decoder(parts.width, count, out, inner=self.width, depth=self.depth)
        model.net = MaskedAutoencoder(model.net, decoder.to(device))
        return model

    @override
    def begin(self, setup: Setup) -> None:
        net = cast(MaskedAutoencoder, setup.model.net)
        parts = Parts(net.encoder)
        if self.target == "features":
            net.teacher = [second_model(self.teacher).to(setup.images.device)]
        self._wanted(net, setup.images, parts.grid)
        draws = torch.zeros(len(setup.images), parts.grid[0] * parts.grid[1], device=setup.images.device)
        with net.showing(visible(draws, self.mask)[0]):
            named = {k: p for k, p in net.named_parameters() if p.requires_grad}
            slopes = torch.autograd.grad(setup.model(setup.images).sum(), list(named.values()), allow_unused=True)
        net.unused = [*net.unused, *(k for k, g in zip(named, slopes, strict=True) if g is None)]
        for name in net.unused:
            net.get_parameter(name).requires_grad_(False)

    @override
    def loss(self, step: Step) -> Tensor:
        net = cast(MaskedAutoencoder, step.classifier.net)
        grid = Parts(net.encoder).grid
        count = grid[0] * grid[1]
        shown, hidden = visible(step.rng.fold("mae").uniform(count).to(step.images.device), self.mask)
        with net.showing(shown):
            predicted = step.model(step.images).reshape(len(step.images), count, -1)
        return reconstruction_loss(predicted.float(), self._wanted(net, step.images, grid), hidden)

    @override
    def end(self, model: Classifier) -> None:
        net = cast(MaskedAutoencoder, model.net)
        for name in net.unused:
            net.get_parameter(name).requires_grad_(True)
        load_without(net.encoder, "decoder")
        model.net = net.encoder

    @torch.no_grad()
    def _wanted(self, net: MaskedAutoencoder, images: Tensor, grid: tuple[int, int]) -> Tensor:
        if self.target == "pixels":
            return patches_of(images, grid)
        found = net.teacher[0].features(images, [self.layer])[1][self.layer]
        if found.ndim != 4 or found.shape[1] != self.features:
            raise ParameterError(
                f"mae: layer {self.layer!r} of the teacher gives {tuple(found.shape)}: [N, {self.features}, H, W] is "
                "wanted; set layer and features"
            )
        return cells_of(found, grid)
