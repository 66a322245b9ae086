"""`Search`: a method that queries a model, written as queries and updates; the driver runs the model."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from unshaken.core.query import Answer, Goal, Query
from unshaken.core.rng import SampleRng
from unshaken.core.state import State

S = TypeVar("S", bound=State)
R_co = TypeVar("R_co", bound=State, covariant=True)


class Search(Protocol, Generic[S, R_co]):
    """The mathematics of a method, one row per sample; `drive` does everything else.

    The driver starts every sample once, then repeats ask and tell. A sample leaves when its goal is met at a point
    that was asked about (confirmed by a fresh float32 pass), or when `done` says so; others take its place.
    """

    def start(self, samples: Any, rng: SampleRng) -> S:
        """The first state of each sample; `samples` are rows of what `drive` was given."""

    def ask(self, state: S) -> Query:
        """The next query to the model, one row per sample."""

    def tell(self, state: S, answer: Answer) -> S:
        """The next state, from the answer."""

    def done(self, state: S) -> Tensor:
        """Bool `[N]`: nothing more to ask.

        On the CPU where that is known without the device, as from a number of steps: the driver then need not wait.
        """

    def result(self, state: S) -> R_co:
        """The result of the search."""

    def goal(self, state: S) -> Goal | None:
        """The test that ends a sample's search at once; None for never."""
