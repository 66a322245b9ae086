"""`FoolingSearch`: what all ways to make fooling images share, one image a class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from unshaken.core.oracle import Oracle
from unshaken.core.registry import Parameters


@dataclass(frozen=True, slots=True)
class FoolingImages:
    """One image a class, as it is saved.

    Args:
        images: uint8 `[K, C, H, W]`.
        odds: float64 `[K]`, log-odds of the class that the image was made for, by a pass over the 8-bit image.
        found: int64 `[K]`, the generation, or the step, in which it was met.
        record: the settings, and the course of the search where there is one.
    """

    images: Tensor
    odds: Tensor
    found: Tensor
    record: dict[str, Any]


class FoolingSearch(Parameters, ABC):
    """A search for images that mean nothing and that a model is sure of.

    It stands in the room `attack` and makes no rows: it starts from no sample. `unshaken fool` runs it.
    """

    room: ClassVar[str] = "attack"
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})

    @abstractmethod
    def find(
        self,
        oracle: Oracle,
        classes: Sequence[int],
        shape: tuple[int, int, int],
        *,
        generations: int | None = None,
        population: int | None = None,
        seed: int = 0,
    ) -> FoolingImages:
        """Search for one image of each class.

        Args:
            oracle: the model, counted.
            classes: their numbers, from 0, each once.
            shape: channels, height and width.
            generations: of the evolution, or steps of the ascent; None for the method's own number.
            population: children a generation, even; None for the evolution's own number. An ascent has none.
            seed: decides all that is drawn.

        Raises:
            ParameterError: a number is not allowed, or the model has no such class.
            ModelError: the model gives no gradient where one is needed, or answers what is no number.
        """

    def check(self, generations: int | None, population: int | None) -> None:
        """Refuse numbers that `find` would refuse, before a model is loaded.

        Raises:
            ParameterError: one is not allowed.
        """
