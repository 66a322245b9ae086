"""`Detector`: a score of abnormality. **Higher is more abnormal**, for every detector."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator, Mapping
from typing import ClassVar, TypeAlias, TypeVar

from torch import Tensor
from typing_extensions import override

from unshaken.core.query import Answer, Objective, Query
from unshaken.core.registry import Parameters
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.fit_data import FitData
from unshaken.detect.engine.forward_pass import ForwardPass

T = TypeVar("T")
Bank: TypeAlias = dict[str, Tensor]
"""Result of a fit: name to tensor, saved as safetensors."""
QueryGenerator: TypeAlias = Generator[Query, Answer, T]
"""A computation with further passes: `answer = yield query`, as often as needed, then `return` its result."""


class Detector(Parameters):
    """Base class of detectors: a score of how abnormal a sample is for a model.

    A subclass names the layers that it reads and the values that a fit stores, and writes `score`, with `fit` before it
    where the score needs fitted tensors. Most compute both from one pass that all detectors share. One that needs
    further passes writes a method as a generator: `answer = yield query` as often as needed, then `return`.

    A **score is higher for what is more abnormal**; it is finite, and stands for one sample alone: no other sample of
    the batch changes it.
    """

    room: ClassVar[str] = "detect"
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    labelled: ClassVar[bool] = False
    """Whether a fit needs the samples' classes."""
    not_exported: ClassVar[str] = ""
    """Why its score cannot be part of an exported graph; empty where nothing is known to hinder it."""

    def layers(self, anatomy: Anatomy) -> tuple[str, ...]:
        """Names of layers whose values `score` reads; see `Classifier.features`."""
        return ()

    def moments(self, anatomy: Anatomy) -> tuple[str, ...]:
        """Names of those layers whose mean and covariance a fit needs."""
        return ()

    def rows(self, forward: ForwardPass) -> Mapping[str, Tensor]:
        """Values that a fit stores per sample: name to `[N, ...]`, shared by detectors that use the same name."""
        return {}

    def fit(self, fit_data: FitData) -> Bank | QueryGenerator[Bank]:
        """Compute from the data what the score needs.

        Raises:
            DataError: nothing can be fitted on such data.
        """
        return {}

    @abstractmethod
    def score(self, forward: ForwardPass, bank: Bank) -> Tensor | QueryGenerator[Tensor]:
        """Score each sample, `[N]`; differentiable in the pass where the mathematics is.

        Args:
            forward: outputs of the pass that all detectors share.
            bank: result of `fit`.
        """


def follow(result: T | QueryGenerator[T]) -> QueryGenerator[T]:
    """Yield the queries of a `fit` or `score`, none where it is no generator, and return its result."""
    if isinstance(result, Generator):
        return (yield from result)
    return result


class PenultimateDetector(Detector):
    """A detector whose score reads the values of the penultimate layer."""

    @override
    def layers(self, anatomy: Anatomy) -> tuple[str, ...]:
        return (anatomy.penultimate,)


class FigureObjective(Objective):
    """An objective of a detector: any differentiable figure `[N]` of an answer.

    Args:
        figure: from an answer, and the samples' classes, to `[N]`.
        classes: int64 `[N]`.
    """

    figure: Callable[[Answer, Tensor], Tensor]
    classes: Tensor

    @override
    def __call__(self, answer: Answer) -> Tensor:
        return self.figure(answer, self.classes)
