"""`AttentionMap`: maps made from the attention of a vision transformer, from its last layer back to its first."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Self

import torch
from pydantic import PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.query import Answer, Goal, Passes, Query
from unshaken.core.rng import SampleRng
from unshaken.explain.engine.activation_map import LayerMap, enlarged
from unshaken.explain.engine.attribution import Attribution, AttributionMap
from unshaken.explain.engine.target import Score, Target, TargetScore
from unshaken.explain.engine.tokens import Tokens, find_tokens
from unshaken.models.networks.attention import attention_gradient, attention_of, output_place

RELEVANCE = "relevance"


class AttentionQuery(Query):
    """What `method.follow` makes of the attention of all layers: `features["relevance"]`, `[N, T]`.

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


class AttentionMap(Attribution[LayerMap]):
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
        """Those that `prepare` found."""
        if self._tokens is None:
            raise RuntimeError("the tokens of a model are known after prepare")
        return self._tokens

    @override
    def start(self, target: Target, rng: SampleRng) -> LayerMap:
        return LayerMap(target, torch.zeros_like(target.images[:, 0]), torch.zeros_like(target.classes).bool())

    @override
    def ask(self, state: LayerMap) -> AttentionQuery:
        target = state.target
        return AttentionQuery(target.images, target.classes, self, self.tokens, self.gradient_of)

    @override
    def tell(self, state: LayerMap, answer: Answer) -> LayerMap:
        patches = (answer.features or {})[RELEVANCE][:, self.tokens.before :]
        found = enlarged(patches.reshape(-1, *self.tokens.grid), state.map.shape[1:])
        return state.replace(map=found, asked=torch.ones_like(state.asked))

    @override
    def done(self, state: LayerMap) -> Tensor:
        return state.asked

    @override
    def result(self, state: LayerMap) -> AttributionMap:
        return AttributionMap(state.map)
