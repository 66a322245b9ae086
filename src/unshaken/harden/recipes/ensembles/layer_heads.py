"""Layer heads: classifiers on the layers of one network, whose weights stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.errors import ModelError
from unshaken.core.registry import register
from unshaken.core.rng import seeded
from unshaken.harden.engine.ensemble import mean_prediction, summed_cross_entropy
from unshaken.harden.engine.layers import probe
from unshaken.harden.engine.recipe import Recipe, Step


class LayerHeads(nn.Module):
    """One predictor a layer, and the network's own answer as the last.

    A head pools its layer's output to a small grid, then batch norm and a linear layer. The network stays in
    evaluation mode without weight gradients.

    Args:
        net: the network.
        layers: as in its `named_modules()`.
        shapes: of the layers' outputs without the sample: `[C, H, W]`, or `[T, D]` and `[D]` for tokens and vectors.
        classes: number of classes K.
        grid: side of the pooled output.
    """

    def __init__(
        self, net: nn.Module, layers: Sequence[str], shapes: Sequence[torch.Size], classes: int, grid: int
    ) -> None:
        super().__init__()
        self.net, self.layers, self.grid = net.requires_grad_(False), tuple(layers), grid
        self.heads = nn.ModuleList(
            nn.Sequential(nn.BatchNorm1d(size), nn.Linear(size, classes))
            for size in (_size(shape, grid) for shape in shapes)
        )
        self.count = len(self.heads) + 1
        self.all = False

    def predictors(self, images: Tensor) -> Tensor:
        """Normalised images to logits `[B, N, K]`, the network's own last."""
        found: dict[str, Tensor] = {}
        modules = dict(self.net.named_modules())
        handles = [
            modules[layer].register_forward_hook(
                lambda _m, _i, out, layer=layer: found.__setitem__(layer, _pooled(out, self.grid))
            )
            for layer in self.layers
        ]
        try:
            own: Tensor = self.net(images)
        finally:
            for handle in handles:
                handle.remove()
        return torch.stack([*(h(found[n]) for h, n in zip(self.heads, self.layers, strict=True)), own], 1)

    @override
    def forward(self, images: Tensor) -> Tensor:
        logits = self.predictors(images)
        return logits if self.all else mean_prediction(logits)

    @override
    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.net.eval()
        return self


def _pooled(features: Tensor, grid: int) -> Tensor:
    """A copy, flat: a later layer may work in place."""
    if features.ndim == 4:
        return F.adaptive_avg_pool2d(features.clone(), grid).flatten(1)  # its backward pass reads what it was given
    return features.mean(1) if features.ndim == 3 else features.flatten(1).clone()


def _size(shape: torch.Size, grid: int) -> int:
    return shape[0] * grid * grid if len(shape) == 3 else shape[-1]


@register("layer-heads", reference="Fort & Lakshminarayanan 2024, arXiv:2408.05446")
class LayerHeadsRecipe(Recipe):
    """Layer heads: trains a linear classifier on each of several layers of a frozen network.

    What comes out answers by the mean of all heads and the network; `crossmax` lets them vote.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"loss", "net"})

    layers: tuple[str, ...] = Field(
        default=(), description="names in net.named_modules(); default: up to 7 of its blocks, spread"
    )
    grid: PositiveInt = Field(default=2, description="side to which a layer's output is pooled before its head")

    @override
    def rebuild(self, model: Classifier) -> Classifier:
        if isinstance(model.net, LayerHeads):
            return model
        layers = self.layers or spread(model)
        shapes, classes = probe(model, layers)
        with seeded(len(layers)):
            model.net = LayerHeads(model.net, layers, shapes, classes, self.grid)
        return model

    @override
    def loss(self, step: Step) -> Tensor:
        net = step.classifier.net
        if not isinstance(net, LayerHeads):
            raise ModelError("layer-heads: the model lost its heads to another recipe")
        net.all = True
        try:
            logits = step.model(step.shown)
        finally:
            net.all = False
        return summed_cross_entropy(logits[:, :-1].transpose(0, 1), step.labels)


def spread(model: Classifier, most: int = 7) -> tuple[str, ...]:
    """Names of at most `most` layers, evenly spread over a network: its convolutions' batch norms, else its modules.

    Raises:
        ModelError: there is none.
    """
    named = [(n, m) for n, m in model.net.named_modules() if n]
    found = [n for n, m in named if isinstance(m, nn.BatchNorm2d)] or [
        n for n, m in named if isinstance(m, nn.Conv2d | nn.LayerNorm)
    ]
    if not found:
        raise ModelError(f"layer-heads: model {model.name!r} has no convolution or norm to put a head on: give layers")
    if len(found) <= most:
        return tuple(found)
    return tuple(found[round((i + 1) * len(found) / most) - 1] for i in range(most))
