"""ScoreCAM: a layer's maps, weighted by the score of what each of them leaves of the image."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Goal, Logits, Passes, Query
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.explain.engine.attribution import Attribution, AttributionMap, Score, Target, even_piece, score_of
from unshaken.explain.engine.baselines import Baseline, baseline_of
from unshaken.explain.engine.gradients import enlarged
from unshaken.explain.engine.layers import find_map_layer
from unshaken.explain.engine.masked import CHUNK


class LayerMasks(Query):
    """Logits of copies of the image under maps of a layer, `b + H_k (x - b)`.

    `H_k` is map k in the size of the image, its values stretched to [0, 1].

    Args:
        points: the images x, `[N, C, H, W]`.
        behind: the images b that show where a mask is 0, `[N, C, H, W]`.
        outputs: of the layer, `[N, D, h, w]`, where they are known.
        fresh: bool `[N]`: they are not known yet, and cost one more forward pass.
        number: which maps, int64 `[N, Q]`.
        layer: name as in `Classifier.features`.
    """

    behind: Tensor
    outputs: Tensor
    fresh: Tensor
    number: Tensor
    layer: str

    @property
    @override
    def width(self) -> int:
        return self.number.shape[1]

    @override
    def evaluate(self, passes: Passes, goal: Goal | None) -> Answer:
        outputs, rows = self.outputs, self.fresh.nonzero().flatten()
        if len(rows):
            with torch.no_grad():
                parts = [passes.forward(x, (self.layer,))[1] for x in torch.split(self.points[rows], passes.limit)]
            outputs = outputs.index_copy(0, rows, torch.cat([part[self.layer].float() for part in parts]))
        with passes.method():
            masks = stretched(outputs, self.number, self.points.shape[2:])[:, :, None]
            copies = self.behind[:, None] + masks * (self.points - self.behind)[:, None]
        logits = required(Logits(copies).evaluate(passes, None).logits)
        forwards = self.fresh.long() + self.number.shape[1]
        return Answer(logits=logits, features={self.layer: outputs}, forwards=forwards, backwards=forwards * 0)


def stretched(outputs: Tensor, number: Tensor, size: torch.Size) -> Tensor:
    """Maps of a layer in another size, their values stretched to [0, 1]; a constant map becomes 0.

    Args:
        outputs: `[N, D, h, w]`.
        number: which of the D maps, int64 `[N, Q]`.
        size: H and W.

    Returns:
        `[N, Q, H, W]`.
    """
    n, q = number.shape
    chosen = outputs[torch.arange(n, device=number.device)[:, None], number]
    maps = enlarged(chosen.flatten(0, 1), size)
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    spread = (high - low).where(high != low, 1.0)
    return ((maps - low) / spread).view(n, q, *size)


class ScoredMaps(State):
    """State of the search, one row a sample.

    Args:
        target: the sample and its class.
        behind: the image behind the masks, `[N, C, H, W]`.
        outputs: of the layer, `[N, D, h, w]`; zeros before they were asked for.
        scores: of the masked copies, `[N, D]`.
        asked: int64 `[N]`: maps asked about.
    """

    target: Target
    behind: Tensor
    outputs: Tensor
    scores: Tensor
    asked: Tensor


def score_cam(outputs: Tensor, scores: Tensor) -> Tensor:
    """`ReLU(sum_k w_k A_k)`, with w the softmax of the scores over all maps that are not constant.

    Args:
        outputs: A, `[N, D, h, w]`.
        scores: of the image under each map, `[N, D]`.

    Returns:
        `[N, h, w]`; zero where all maps are constant.
    """
    constant = outputs.amax((2, 3)) == outputs.amin((2, 3))
    weights = scores.masked_fill(constant, -torch.inf).softmax(1)
    weights = weights.masked_fill(constant.all(1, keepdim=True), 0)
    return torch.einsum("nd,ndhw->nhw", weights, outputs).relu()


@register("scorecam", reference="Wang et al. 2020, arXiv:1910.01279")
class ScoreCAM(Attribution[ScoredMaps]):
    """ScoreCAM: `ReLU(sum_k w_k A_k)`, with w the softmax over k of the score of the image under map k.

    It needs no gradient, and one pass for each channel of the layer. The score of the image behind the masks, which
    the paper takes off, is the same for all maps and cancels in the softmax.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    repeated: ClassVar[bool] = True

    score: Score = Field(default="logit", description="score that is explained: logit, probability or log-probability")
    layer: str = Field(default="", description="name of the layer; empty for the last one whose output has places")
    baseline: Baseline = Field(default="black", description="image behind the mask: black, grey, white, mean or noise")

    _shape: tuple[int, ...] = PrivateAttr((0, 0, 0))

    @override
    def prepare(self, model: Classifier, images: Tensor) -> Self:
        layer, shape = find_map_layer(model, images, self.layer)
        found = self.model_copy(update={"layer": layer})
        found._shape = shape
        return found

    @property
    @override
    def width(self) -> int:
        return CHUNK

    @override
    def start(self, target: Target, rng: SampleRng) -> ScoredMaps:
        images, none = target.images, torch.zeros_like(target.classes)
        behind = baseline_of(images, self.baseline, rng)
        outputs = images.new_zeros(len(images), *self._shape)
        return ScoredMaps(target, behind, outputs, outputs[:, :, 0, 0].contiguous(), none)

    def _numbers(self, state: ScoredMaps) -> Tensor:
        """The next maps; in the last query the last one is repeated."""
        count = self._shape[0]
        piece = torch.arange(even_piece(count, CHUNK), device=state.asked.device)
        return (state.asked[:, None] + piece).clamp(max=count - 1)

    @override
    def ask(self, state: ScoredMaps) -> LayerMasks:
        images, fresh = state.target.images, state.asked == 0
        return LayerMasks(images, state.behind, state.outputs, fresh, self._numbers(state), self.layer)

    @override
    def tell(self, state: ScoredMaps, answer: Answer) -> ScoredMaps:
        number = self._numbers(state)
        scores = score_of(required(answer.logits), state.target.classes, self.score)
        return state.replace(
            outputs=(answer.features or {})[self.layer],
            scores=state.scores.scatter(1, number, scores),
            asked=state.asked + number.shape[1],
        )

    @override
    def done(self, state: ScoredMaps) -> Tensor:
        return state.asked >= self._shape[0]

    @override
    def result(self, state: ScoredMaps) -> AttributionMap:
        return AttributionMap(enlarged(score_cam(state.outputs, state.scores), state.target.images.shape[2:]))
