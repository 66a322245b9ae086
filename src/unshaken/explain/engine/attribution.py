"""`Attribution`: the mathematics of one map of the pixels that count for a class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Generic, Self, TypeVar

from torch import Tensor

from unshaken.core.classifier import Classifier
from unshaken.core.query import Answer, Query
from unshaken.core.registry import Parameters
from unshaken.core.rng import SampleRng
from unshaken.core.state import State
from unshaken.explain.engine.target import Target

S = TypeVar("S", bound=State)


class AttributionMap(State):
    """Maps of N samples.

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
    """Whether it takes so many passes of each image that a quicker copy of the model pays; see `search_copy`."""

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
        """The next state."""

    @abstractmethod
    def done(self, state: S) -> Tensor:
        """Bool `[N]`: the map is complete."""

    @abstractmethod
    def result(self, state: S) -> AttributionMap:
        """The maps."""

    def goal(self, state: S) -> None:
        """A map is never done early."""
