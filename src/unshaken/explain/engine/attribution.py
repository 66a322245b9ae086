"""`Attribution`: the mathematics of one map of the pixels that count for a class, and the score that it explains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, Literal, Self, TypeVar

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.classifier import Classifier
from unshaken.core.oracle import required
from unshaken.core.query import Answer, Logits, Objective, Query
from unshaken.core.registry import Parameters
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

Score = Literal["logit", "probability", "log-probability"]
"""The score of a class: its logit `z_c`, `p_c = softmax(z)_c`, or `log p_c`."""


class Target(State):
    """Samples, and the class of each whose score is explained.

    Args:
        images: `[N, C, H, W]` in [0, 1].
        classes: int64 `[N]`.
    """

    images: Tensor
    classes: Tensor


class TargetScore(Objective):
    """Score of a class as an objective.

    Args:
        classes: int64 `[N]`.
        score: see `Score`.
    """

    classes: Tensor
    score: Score = "logit"

    @override
    def __call__(self, answer: Answer) -> Tensor:
        """From logits `[N, K]` to `[N]`."""
        return score_of(required(answer.logits), self.classes, self.score)


def score_of(logits: Tensor, classes: Tensor, score: Score) -> Tensor:
    """Scores of classes.

    Args:
        logits: `[..., K]`, such as `[N, K]` or `[N, Q, K]`.
        classes: int64 `[...]`, or `[N]` for all Q points of a sample.
        score: see `Score`.

    Returns:
        `[...]`.
    """
    if score == "probability":
        logits = logits.softmax(-1)
    elif score == "log-probability":
        logits = logits.log_softmax(-1)
    classes = classes.view(*classes.shape, *[1] * (logits.ndim - classes.ndim)).expand(*logits.shape[:-1], 1)
    return logits.gather(-1, classes).squeeze(-1)


S = TypeVar("S", bound=State)


class AttributionMap(State):
    """Maps of N samples, and how far each is from a known total.

    Args:
        map: float32 `[N, H, W]`; a pixel with a larger value counts more for the class. Below 0, where a method knows
            signs, it counts against it.
        error: of a method that distributes a known total, how far the map's sum is from it, `[N]`; else None.
    """

    map: Tensor
    error: Tensor | None = None


class Attribution(Parameters, ABC, Generic[S]):
    """Base class of attribution methods. Each is a search that ends with a map for each sample.

    A subclass writes `start`, `ask`, `tell`, `done` and `result`; the driver owns batches, counting and memory. The
    randomness of a sample comes from its own streams, so a map does not depend on the batch that it was made in.
    """

    room: ClassVar[str] = "explain"
    group: ClassVar[str] = "attribution"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    repeated: ClassVar[bool] = False
    """Whether its passes for each image are enough to make a quicker copy of the model pay; see `search_copy`."""

    remarks: ClassVar[tuple[str, ...]] = ()
    """Sentences that a reader of its maps must know; a report shows them."""

    @property
    def width(self) -> int:
        """Images a sample that one query holds in memory at once."""
        return 1

    def prepare(self, model: Classifier, images: Tensor) -> Self:
        """This method with what it has to find out about the model, such as the layer to look at.

        Args:
            model: in evaluation mode.
            images: one or a few of those to explain, `[n, C, H, W]`.

        Raises:
            ModelError: the model does not have what the method needs.
        """
        return self

    @abstractmethod
    def start(self, target: Target, rng: SampleRng) -> S:
        """The first state of each sample."""

    @abstractmethod
    def ask(self, state: S) -> Query:
        """The next query to the model."""

    @abstractmethod
    def tell(self, state: S, answer: Answer) -> S:
        """Take an answer and give the next state."""

    @abstractmethod
    def done(self, state: S) -> Tensor:
        """Bool `[N]`: the map is complete."""

    @abstractmethod
    def result(self, state: S) -> AttributionMap:
        """Maps of complete states."""

    def goal(self, state: S) -> None:
        """A map is never done early."""


class MapState(State):
    """State of the search, one row a sample.

    Args:
        target: the sample and its class.
        map: float32 `[N, H, W]`; zeros before the answer.
        answered: bool `[N]`.
    """

    target: Target
    map: Tensor
    answered: Tensor


class OneQuery(Attribution[MapState]):
    """Base class of methods whose map is made from one answer of the model. A subclass writes `ask` and `make_map`."""

    @abstractmethod
    def make_map(self, images: Tensor, answer: Answer) -> Tensor:
        """Maps `[N, H, W]` of images `[N, C, H, W]` from the answer to `ask`."""

    @override
    def start(self, target: Target, rng: SampleRng) -> MapState:
        return MapState(target, torch.zeros_like(target.images[:, 0]), torch.zeros_like(target.classes).bool())

    @override
    def tell(self, state: MapState, answer: Answer) -> MapState:
        found = self.make_map(state.target.images, answer)
        return state.replace(map=found, answered=torch.ones_like(state.answered))

    @override
    def done(self, state: MapState) -> Tensor:
        return state.answered

    @override
    def result(self, state: MapState) -> AttributionMap:
        return AttributionMap(state.map)


def even_piece(count: int, most: int) -> int:
    """The size of the pieces that a count is cut into, so that the last one lacks least; of such the largest.

    >>> even_piece(52, 16), even_piece(50, 16), even_piece(16, 16), even_piece(3, 16)
    (13, 10, 16, 3)

    Args:
        count: 1 or more.
        most: largest size of a piece; no piece is smaller than half of it where there are several.
    """
    if count <= most:
        return count
    return min(range(most, most // 2, -1), key=lambda size: -count % size)


class ControlState(State):
    """State of the search, one row a sample.

    Args:
        target: the sample and its class.
        rng: the sample's streams.
    """

    target: Target
    rng: SampleRng


class Control(Attribution[ControlState]):
    """Base class of maps from the image alone. A subclass writes `draw`."""

    needs: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def draw(self, images: Tensor, rng: SampleRng) -> Tensor:
        """Maps `[N, H, W]` of images `[N, C, H, W]`."""

    @override
    def start(self, target: Target, rng: SampleRng) -> ControlState:
        return ControlState(target, rng)

    @override
    def ask(self, state: ControlState) -> Logits:
        return Logits(state.target.images)

    @override
    def tell(self, state: ControlState, answer: Answer) -> ControlState:
        return state

    @override
    def done(self, state: ControlState) -> Tensor:
        return torch.ones_like(state.target.classes, dtype=torch.bool)

    @override
    def result(self, state: ControlState) -> AttributionMap:
        return AttributionMap(self.draw(state.target.images, state.rng))
