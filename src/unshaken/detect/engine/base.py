"""`Detector`: a score of abnormality. **Higher is more abnormal**, for every detector."""

from __future__ import annotations

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
"""What a fit leaves: name to tensor, saved as safetensors."""
QueryGenerator: TypeAlias = Generator[Query, Answer, T]
"""A search written from top to bottom: `answer = yield query`, as often as needed, then `return` what was found."""


class Detector(Parameters):
    """Base class of detectors: a score of how abnormal a sample is for a model.

    A subclass says which layers it looks at, what a fit must keep of its data, what it makes of that, and its score.
    Most read one pass that all detectors share: they write `score`. One that asks the model again writes `examine`
    (and `learn`, where fitting asks too).

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

    def fit(self, fit_data: FitData) -> Bank:
        """Compute from the data what the score needs.

        Raises:
            DataError: nothing can be fitted on such data.
        """
        return {}

    def learn(self, fit_data: FitData) -> QueryGenerator[Bank]:
        """`fit`, for a detector that asks the model meanwhile."""
        return self.fit(fit_data)
        yield  # never reached: it makes this a generator

    def score(self, forward: ForwardPass, bank: Bank) -> Tensor:
        """The score `[N]`, from one pass; differentiable in it where the mathematics is.

        Args:
            forward: what the model said.
            bank: what `fit` left.
        """
        raise NotImplementedError

    def examine(self, forward: ForwardPass, bank: Bank) -> QueryGenerator[Tensor]:
        """`score`, for a detector that asks the model again."""
        return self.score(forward, bank)
        yield  # never reached: it makes this a generator


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
        """See `Objective`."""
        return self.figure(answer, self.classes)
