"""`Search`: whatever asks a model. It never calls it: it asks and is told."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from unshaken.core.query import Answer, Goal, Query
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

S = TypeVar("S", bound=State)
R_co = TypeVar("R_co", bound=State, covariant=True)


class Search(Protocol, Generic[S, R_co]):
    """The mathematics of a method, one row a sample; `drive` does all else.

    The driver starts every sample once, then repeats ask and tell. A sample leaves when its goal is met at a point
    that was asked about (confirmed by a fresh float32 pass), or when `done` says so; others take its place.
    """

    def start(self, samples: Any, rng: SampleRng) -> S:
        """The first state of each sample; `samples` are rows of what `drive` was given."""

    def ask(self, state: S) -> Query:
        """What to ask the model next, one row a sample."""

    def tell(self, state: S, answer: Answer) -> S:
        """The next state, from the answer."""

    def done(self, state: S) -> Tensor:
        """Bool `[N]`: nothing more to ask."""

    def result(self, state: S) -> R_co:
        """What was found."""

    def goal(self, state: S) -> Goal | None:
        """When a point asked about ends the sample's search at once; None for never."""
