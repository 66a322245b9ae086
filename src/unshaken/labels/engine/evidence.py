"""`Evidence`: the given labels, and what is known of the samples; each finder asks for a part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from numpy.typing import NDArray

from unshaken.core.errors import DataError, ParameterError
from unshaken.labels.engine.confident_joint import ConfidentJoint, confident_joint
from unshaken.labels.engine.probabilities import Probabilities
from unshaken.labels.engine.summary import Summary, summarize
from unshaken.measure.statistics.columns import Indices

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What finders are given; what several of them need is computed once.

    Args:
        labels: as given, int `[N]` in 0..classes-1.
        classes: the number of classes.
        probabilities: `[N, classes]`, out of sample; None where none are known.
        features: of each sample, float `[N, D]`; None where none are known.
        margins: of the given label's logit to the largest other one, a row for each epoch of each training that was
            watched, `[E, N]`, NaN where a training had not the sample; None where none was watched.

    Raises:
        DataError: lengths or numbers of classes differ, or a label is outside the classes.
    """

    labels: Indices
    classes: int
    probabilities: Probabilities | None = None
    features: NDArray[Any] | None = None
    margins: NDArray[Any] | None = None
    _known: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        n, p = len(self.labels), self.probabilities
        if n == 0:
            raise DataError("there are no labels to examine")
        if self.labels.min() < 0 or self.labels.max() >= self.classes:
            raise DataError(
                f"labels go from {self.labels.min()} to {self.labels.max()}, and there are {self.classes} classes"
            )
        if p is not None and (len(p), p.classes) != (n, self.classes):
            raise DataError(
                f"{p.source}: {len(p)} rows of {p.classes} classes, and the data has {n} samples of {self.classes}"
            )
        for what, values, length in (
            ("features", self.features, None if self.features is None else len(self.features)),
            ("margins", self.margins, None if self.margins is None else self.margins.shape[1]),
        ):
            if values is not None and length != n:
                raise DataError(f"{what} are there for {length} samples, labels for {n}")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def kinds(self) -> frozenset[str]:
        """What is there: `probabilities`, `features`, `margins`."""
        names = ("probabilities", "features", "margins")
        return frozenset(name for name in names if getattr(self, name) is not None)

    def summary(self) -> Summary:
        """Of the probabilities; one pass over them."""
        return self._once("summary", lambda: summarize(self.need_probabilities(), self.labels))

    def suggestion(self) -> Indices:
        """The most probable class of each sample, int `[N]`; the given label where there are no probabilities."""
        return self.labels if self.probabilities is None else self.summary().best

    def confident(self, resolve: str = "probability") -> ConfidentJoint:
        """Confident counts; one more pass. See `confident_joint`."""
        return self._once(
            f"confident {resolve}",
            lambda: confident_joint(self.need_probabilities(), self.labels, self.summary(), resolve=resolve),
        )

    def need_probabilities(self) -> Probabilities:
        """The probabilities.

        Raises:
            ParameterError: there are none.
        """
        return self.known(self.probabilities)

    def known(self, evidence: T | None) -> T:
        """A kind of evidence that must be there.

        Raises:
            ParameterError: it is not.
        """
        if evidence is None:
            raise ParameterError(
                f"the evidence that this method needs is not there, only {', '.join(sorted(self.kinds)) or 'labels'}: "
                "out-of-sample probabilities, features and margins come from a model"
            )
        return evidence

    def _once(self, name: str, make: Callable[[], T]) -> T:
        if name not in self._known:
            self._known[name] = make()
        found: T = self._known[name]
        return found
