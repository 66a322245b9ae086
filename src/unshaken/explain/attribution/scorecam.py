"""ScoreCAM: a layer's maps, weighted by the score of what each of them leaves of the image."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from pydantic import Field, PrivateAttr
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.oracle import required
from unshaken.core.query import Answer
from unshaken.core.registry import register
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.explain.engine.activation_map import enlarged
from unshaken.explain.engine.attribution import Attribution, AttributionMap
from unshaken.explain.engine.baselines import Baseline, baseline_of
from unshaken.explain.engine.layer_masks import LayerMasks
from unshaken.explain.engine.layers import find_map_layer
from unshaken.explain.engine.masked import CHUNK
from unshaken.explain.engine.pieces import even_piece
from unshaken.explain.engine.target import Score, Target, score_of


class ScoredMaps(State):
    """One row a sample.

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

    score: Score = Field("logit", description="score that is explained: logit, probability or log-probability")
    layer: str = Field("", description="name of the layer; empty for the last one whose output has places")
    baseline: Baseline = Field("black", description="image behind the mask: black, grey, white, mean or noise")

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
        number, logits = self._numbers(state), required(answer.logits)
        scores = score_of(logits, state.target.classes[:, None].expand(logits.shape[:2]), self.score)
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
