"""`MaskedScores`: maps made from the scores of many masked copies of the image."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import override

from unshaken.core.oracle import required
from unshaken.core.query import Answer, Logits
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.explain.engine.attribution import Attribution, AttributionMap, Score, Target, even_piece, score_of
from unshaken.explain.engine.baselines import Baseline, baseline_of

CHUNK = 64
"""Masked copies a sample in one query at most: whatever the batch, sums are taken in the same pieces."""


class Masking(State):
    """State of the search, one row a sample.

    Args:
        target: the sample and its class.
        rng: the sample's streams.
        asked: int64 `[N]`: masked copies asked about.
        total: sum of the masks' values times their scores, `[N, H, W]`.
        weight: sum of the masks' values, `[N, H, W]`.
        first: score of the first copy, `[N]`.
    """

    target: Target
    rng: SampleRng
    asked: Tensor
    total: Tensor
    weight: Tensor
    first: Tensor


class MaskedScores(Attribution[Masking]):
    """Base class of methods that look at the score of masked copies. It needs no gradient.

    A subclass writes `count`, `masks` and `finish`.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    repeated: ClassVar[bool] = True

    score: Score = Field(
        default="probability", description="score that is explained: logit, probability or log-probability"
    )
    baseline: Baseline = Field(default="black", description="image behind the mask: black, grey, white, mean or noise")

    @abstractmethod
    def count(self, height: int, width: int) -> int:
        """Number of masked copies of an image of this size."""

    @abstractmethod
    def masks(self, target: Target, number: Tensor, rng: SampleRng) -> Tensor:
        """How much of the image stays, in [0, 1]: `[N, Q, H, W]`.

        Args:
            target: the samples.
            number: which masks, int64 `[N, Q]`.
            rng: the samples' streams.
        """

    def spread(self, masks: Tensor) -> Tensor:
        """How much of a copy's score each pixel gets; as a rule the mask itself."""
        return masks

    @abstractmethod
    def finish(self, state: Masking, count: int) -> Tensor:
        """From the sums to maps `[N, H, W]`.

        Args:
            state: after all copies.
            count: number of masked copies.
        """

    @property
    @override
    def width(self) -> int:
        return CHUNK

    def _count(self, target: Target) -> int:
        return self.count(*target.images.shape[2:])

    def _numbers(self, state: Masking) -> Tensor:
        """The next copies; see `even_piece`."""
        piece = even_piece(self._count(state.target), CHUNK)
        return state.asked[:, None] + torch.arange(piece, device=state.asked.device)

    @override
    def start(self, target: Target, rng: SampleRng) -> Masking:
        none = torch.zeros_like(target.images[:, 0])
        return Masking(target, rng, torch.zeros_like(target.classes), none, none, none[:, 0, 0])

    @override
    def ask(self, state: Masking) -> Logits:
        images, number = state.target.images, self._numbers(state).clamp(max=self._count(state.target) - 1)
        masks = self.masks(state.target, number, state.rng)[:, :, None]
        behind = baseline_of(images, self.baseline, state.rng)
        return Logits(behind[:, None] + masks * (images - behind)[:, None])

    @override
    def tell(self, state: Masking, answer: Answer) -> Masking:
        count, number = self._count(state.target), self._numbers(state)
        scores = score_of(required(answer.logits), state.target.classes, self.score)
        spread = self.spread(self.masks(state.target, number.clamp(max=count - 1), state.rng))
        spread = spread * (number < count)[:, :, None, None]
        return state.replace(
            asked=state.asked + number.shape[1],
            total=state.total + torch.einsum("nqhw,nq->nhw", spread, scores),
            weight=state.weight + spread.sum(1),
            first=torch.where(state.asked == 0, scores[:, 0], state.first),
        )

    @override
    def done(self, state: Masking) -> Tensor:
        return state.asked >= self._count(state.target)

    @override
    def result(self, state: Masking) -> AttributionMap:
        return AttributionMap(self.finish(state, self._count(state.target)))
