"""`AttentionMap`: maps made from the attention of a vision transformer, and the tokens that they are made of."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from pydantic import PrivateAttr
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.classifier import INPUT, Classifier, evaluating
from unshaken.core.errors import ModelError
from unshaken.core.query import Answer, Goal, Passes, Query
from unshaken.explain.engine.attribution import MapState, OneQuery, Score, TargetScore
from unshaken.explain.engine.gradients import enlarged
from unshaken.models.networks.attention import (
    attention_gradient,
    attention_layers,
    attention_names,
    attention_of,
    is_plain,
    output_place,
    token_side,
)

LEAST = 1e-6
"""A token whose gradient is below this share of the largest one is not read."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """How the tokens of a model lie.

    Args:
        layers: its attention layers, in the order of its blocks.
        names: of these layers.
        grid: rows and columns of patches.
        before: tokens before those of the patches: a class token, registers.
        read: the share of each token in what the head reads, `[T]`, of sum 1: a class token alone, or all patches.
    """

    layers: tuple[nn.Module, ...]
    names: tuple[str, ...]
    grid: tuple[int, int]
    before: int
    read: Tensor

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what goes into the layers."""
        return tuple(name + INPUT for name in self.names)


def find_tokens(model: Classifier, images: Tensor) -> Tokens:
    """Find the tokens of a vision transformer.

    Which tokens the head reads is seen from the gradient of the logits by what the last attention layer gives: it is
    zero for all others. So a class token, a mean over patches, and registers that nobody reads need no name.

    Args:
        model: a vision transformer whose every layer attends over the whole image.
        images: at least one, `[n, C, H, W]`.

    Raises:
        ModelError: it is none.
    """
    names, layers, side = attention_names(model), tuple(attention_layers(model)), token_side(model)
    grid, tokens = (images.shape[2] // side, images.shape[3] // side), 0
    with evaluating(model), torch.enable_grad():
        points = images[:1].detach().clone().requires_grad_(True)
        places: dict[str, str] = {}  # where heads' outputs are read; layers where they are not to be read stay out
        for name, layer in zip(names, layers, strict=True):
            with suppress(ModelError):
                places[name] = output_place(layer, name)
        logits, found = model.features(points, [*(name + INPUT for name in names), *places.values(), names[-1]])
        for name, layer in zip(names, layers, strict=True):
            count = _count(layer, found[name + INPUT], tokens)
            if count is None or count < grid[0] * grid[1]:
                raise ModelError(
                    f"model {model.name!r}: {list(found[name + INPUT].shape)} goes into the attention layer {name!r}, "
                    f"not the tokens of all {grid[0]} x {grid[1]} patches of one image: attention in windows or over "
                    "merged patches has no map of its own; use gradcam or integrated-gradients"
                )
            tokens = count
            with torch.no_grad():
                plain = name not in places or is_plain(layer, found[name + INPUT], found[places[name]])
            if not plain:
                raise ModelError(
                    f"model {model.name!r}: the heads of the attention layer {name!r} do more than softmax(q k') v "
                    "(such as a bias or a rotation by position), which is not read here: use integrated-gradients or "
                    "rise"
                )
        last = found[names[-1]]
        spread = torch.linspace(1, 2, logits.shape[1], device=logits.device)  # logits that sum to a constant, too
        (gradient,) = torch.autograd.grad((logits * spread).sum(), last, allow_unused=True)
    gradient = torch.zeros_like(last) if gradient is None else gradient
    size = torch.linalg.vector_norm(gradient.reshape(tokens, -1), dim=1)
    read = ~(size <= LEAST * size.max())  # what is no number counts as read, and shows in the map
    if not bool(read.any()):
        raise ModelError(f"model {model.name!r}: no logit hangs on what its last attention layer {names[-1]!r} gives")
    return Tokens(layers, names, grid, tokens - grid[0] * grid[1], read.float() / read.sum())


def _count(layer: nn.Module, given: Tensor, expected: int) -> int | None:
    """The number of tokens of one image, or None where it is not such an input, or not as before."""
    if given.ndim != 3:
        return None
    if isinstance(layer, nn.MultiheadAttention) and not layer.batch_first:
        given = given.transpose(0, 1)
    count = given.shape[1]
    return count if len(given) == 1 and expected in (0, count) else None


RELEVANCE = "relevance"


class AttentionQuery(Query):
    """Relevance that `method.follow` carries through the attention of all layers: `features["relevance"]`, `[N, T]`.

    Args:
        points: `[N, C, H, W]`.
        classes: int64 `[N]`.
        method: the attribution.
        tokens: of the model.
        score: whose gradient by the attention is wanted; None for none.
    """

    classes: Tensor
    method: AttentionMap
    tokens: Tokens
    score: Score | None

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        layers, names, inputs = self.tokens.layers, self.tokens.names, self.tokens.inputs
        wanted = self.score is not None
        places = tuple(map(output_place, layers, names)) if wanted else ()
        gradients: list[Tensor] = []
        with torch.set_grad_enabled(wanted):
            logits, found = passes.forward(self.points.detach().requires_grad_(wanted), (*inputs, *places))
            if self.score is not None:
                value = TargetScore(self.classes, self.score)(Answer(logits=logits))
                gradients = passes.gradients(value, [found[place] for place in places])
        with torch.no_grad(), passes.method():
            relevance = self.tokens.read.to(self.points).expand(len(self.points), -1)
            for i in reversed(range(len(layers))):  # a row of the product of all layers, not the product itself
                given = found[inputs[i]].detach()
                slope = attention_gradient(layers[i], given, gradients[i]) if wanted else None
                relevance = self.method.follow(relevance, attention_of(layers[i], given), slope)
        return Answer(logits=logits.detach(), features={RELEVANCE: relevance})


class AttentionMap(OneQuery):
    """Base class of maps from attention. A subclass writes `follow`."""

    needs: ClassVar[frozenset[str]] = frozenset({"attention", "gradient"})

    _tokens: Tokens | None = PrivateAttr(None)

    @abstractmethod
    def follow(self, relevance: Tensor, attention: Tensor, gradient: Tensor | None) -> Tensor:
        """Carry the relevance of the tokens behind a layer to those before it.

        Args:
            relevance: `[N, T]`.
            attention: A, `[N, heads, T, T]`, rows of sum 1.
            gradient: of the score by A, in its shape; None where `gradient_of` is None.

        Returns:
            `[N, T]`.
        """

    @property
    def gradient_of(self) -> Score | None:
        """The score whose gradient by the attention `follow` wants; None for none."""
        return None

    @override
    def prepare(self, model: Classifier, images: Tensor) -> Self:
        found = self.model_copy()
        found._tokens = find_tokens(model, images)
        return found

    @property
    def tokens(self) -> Tokens:
        """Tokens of the model that `prepare` was given."""
        if self._tokens is None:
            raise RuntimeError("the tokens of a model are known after prepare")
        return self._tokens

    @override
    def ask(self, state: MapState) -> AttentionQuery:
        target = state.target
        return AttentionQuery(target.images, target.classes, self, self.tokens, self.gradient_of)

    @override
    def make_map(self, images: Tensor, answer: Answer) -> Tensor:
        patches = (answer.features or {})[RELEVANCE][:, self.tokens.before :]
        return enlarged(patches.reshape(-1, *self.tokens.grid), images.shape[2:])
