"""A classifier behind frequency prompts, with gradients for attacks that know of it."""

from __future__ import annotations

import copy
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError, ParameterError
from unshaken.harden.defences._prompts import Prompts
from unshaken.harden.engine.defence import GuardedModel

Gradient = Literal["exact", "selection", "selection+clip"]


@torch.fx.wrap
def _check_shape(images: Tensor, shape: tuple[int, int, int]) -> None:
    if tuple(images.shape[1:]) != tuple(shape):
        raise ModelError(f"frequency prompts are for images of {tuple(shape)}, not {tuple(images.shape[1:])}")


class PromptedClassifier(nn.Module):
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

    @override
    def forward(self, images: Tensor) -> Tensor:
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
) -> GuardedModel:
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
    net = PromptedClassifier(copy.deepcopy(model, shared), prompts, gradient, fixed)

    def others() -> dict[str, Classifier]:
        """Where the clip to [0, 1] hides gradients, one that passes them."""
        if gradient == "selection+clip":
            return {}
        return {"selection+clip": guarded(model, prompts, gradient="selection+clip", fixed=fixed)}

    return GuardedModel(net, model, name="frequency-prompt", surrogates=others).to(device)


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
