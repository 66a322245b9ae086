"""`Detector`: a score of abnormality. **Higher is more abnormal**, for every detector of the house."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import ClassVar, TypeAlias, TypeVar

from torch import Tensor

from unshaken.core.query import Answer, Objective, Query
from unshaken.core.registry import Parameters
from unshaken.detect.engine.anatomy import Anatomy
from unshaken.detect.engine.kept import Kept
from unshaken.detect.engine.look import Look

T = TypeVar("T")
Bank: TypeAlias = dict[str, Tensor]
"""What a fit leaves: name to tensor, saved as safetensors."""
Asking: TypeAlias = Generator[Query, Answer, T]
"""A search written from top to bottom: `answer = yield query`, as often as needed, then `return` what was found."""


class Detector(Parameters):
    """How abnormal a sample is for a model, from what the model says of it.

    A subclass says which layers it looks at, what a fit must keep of its data, what it makes of that, and its score.
    Most read one pass that all detectors share: they write `score`. One that asks the model again writes `examine`
    (and `learn`, where fitting asks too).

    A **score is higher for what is more abnormal**; it is finite, and stands for one sample alone: no other sample of
    the batch changes it.
    """

    room: ClassVar[str] = "detect"
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    labelled: ClassVar[bool] = False
    """Whether a fit needs the samples' classes."""
    fits: ClassVar[bool] = False
    """Whether anything is taken from the data at all; a score that needs none is ready as it is."""

    def layers(self, anatomy: Anatomy) -> tuple[str, ...]:
        """Names of layers whose values `score` reads; see `Classifier.features`."""
        return ()

    def moments(self, anatomy: Anatomy) -> tuple[str, ...]:
        """Those of them whose moments a fit must sum."""
        return ()

    def rows(self, look: Look) -> Mapping[str, Tensor]:
        """What a fit keeps of each sample: name to `[N, ...]`. Detectors that use one name mean the same thing."""
        return {}

    def fit(self, kept: Kept) -> Bank:
        """What the score needs of the data.

        Raises:
            DataError: nothing can be fitted on such data.
        """
        return {}

    def learn(self, kept: Kept) -> Asking[Bank]:
        """`fit`, for a detector that asks the model meanwhile."""
        return self.fit(kept)
        yield  # never reached: it makes this a generator

    def score(self, look: Look, bank: Bank) -> Tensor:
        """The score `[N]`, from one pass; differentiable in it where the mathematics is.

        Args:
            look: what the model said.
            bank: what `fit` left.
        """
        raise NotImplementedError

    def examine(self, look: Look, bank: Bank) -> Asking[Tensor]:
        """`score`, for a detector that asks the model again."""
        return self.score(look, bank)
        yield  # never reached: it makes this a generator

    @classmethod
    def asks_again(cls) -> bool:
        """Whether it needs the model beyond the pass that all share."""
        return cls.examine is not Detector.examine


class Of(Objective):
    """An objective of a detector: any differentiable figure `[N]` of an answer.

    Args:
        figure: from an answer, and the samples' classes, to `[N]`.
        classes: int64 `[N]`.
    """

    figure: Callable[[Answer, Tensor], Tensor]
    classes: Tensor

    def __call__(self, answer: Answer) -> Tensor:
        """See `Objective`."""
        return self.figure(answer, self.classes)
