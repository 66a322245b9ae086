"""`Control`: maps that never look at the model, against which methods are told."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from unshaken.core.query import Answer, Logits
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.explain.engine.attribution import Attribution, AttributionMap
from unshaken.explain.engine.target import Target


class ControlState(State):
    """One row a sample.

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
