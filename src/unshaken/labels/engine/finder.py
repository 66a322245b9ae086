"""`Finder`: the base of every method that finds wrong labels; its `Evidence`, and its result, `LabelScores`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from unshaken.core.errors import DataError, ParameterError
from unshaken.core.registry import Parameters
from unshaken.labels.engine.confident_joint import ConfidentJoint, class_thresholds, confident_joint
from unshaken.labels.engine.probabilities import Probabilities, Summary, summarize
from unshaken.measure.calibration.temperature import fit_temperature
from unshaken.measure.statistics.columns import Flags, Indices, Numbers

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The evidence on labels that finders are given; what several of them need is computed once.

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
        """The kinds of evidence that are there, of `probabilities`, `features`, `margins`."""
        names = ("probabilities", "features", "margins")
        return frozenset(name for name in names if getattr(self, name) is not None)

    def summary(self) -> Summary:
        """Own, best other and most probable class of each sample; one pass over the probabilities."""
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
        """The probabilities, which must be there.

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


@dataclass(frozen=True, slots=True)
class LabelScores:
    """The scores that a finder gives to all samples.

    Args:
        score: how likely the given label is right, `[N]`: the lower the more suspect. Only the order counts; scores of
            two finders are not comparable.
        suggested: the class that is likelier than all others, int `[N]`.
        flagged: which labels it takes for wrong, bool `[N]`; None where it ranks only.
        figures: further numbers by name, such as the estimated share of wrong labels.
    """

    score: Numbers
    suggested: Indices
    flagged: Flags | None = None
    figures: dict[str, Any] = field(default_factory=dict)


class Finder(Parameters):
    """Scores how likely each given label is right.

    Class attributes: `needs`, the kinds of evidence that it uses: `probabilities`, `features`, `margins`.
    """

    room: ClassVar[str] = "labels"
    needs: ClassVar[frozenset[str]] = frozenset({"probabilities"})

    @abstractmethod
    def find(self, evidence: Evidence) -> LabelScores:
        """Score all labels.

        Args:
            evidence: with all that `needs` names.
        """


def mean_over_epochs(values: NDArray[Any]) -> Numbers:
    """The mean of each sample over the epochs that had it; the median of the others for one that no epoch had.

    Args:
        values: `[E, N]`, NaN where a training had not the sample.

    >>> mean_over_epochs(np.array([[1.0, np.nan, np.nan], [3.0, 6.0, np.nan]])).tolist()
    [2.0, 6.0, 4.0]
    """
    there = ~np.isnan(values)
    counts = there.sum(0)
    sums = np.where(there, values, 0).sum(0, dtype=np.float64)
    means: Numbers = sums / np.maximum(counts, 1)
    if not counts.all():
        means[counts == 0] = np.median(means[counts > 0]) if counts.any() else 0.0
    return means


FITTED = 10_000
"""Samples on which a temperature is fitted."""
LEAST = 1e-12
"""Probability that a smaller one is taken for, where its logarithm is used."""


def adjusted_summary(evidence: Evidence) -> Summary:
    """The summary of `(p - t + max t) / sum`, with `t` the mean probability of each class where it is given.

    What a class of few samples is usually given counts for more.

    Args:
        evidence: with probabilities; one more pass over them.
    """
    thresholds = class_thresholds(evidence.summary().own, evidence.labels, evidence.classes)
    return _changed_summary(evidence, lambda p: p - thresholds + thresholds.max())


def tempered_summary(evidence: Evidence, temperature: float) -> Summary:
    """The summary of `p^(1/T) / sum`, as softmax at the temperature T gives it.

    Args:
        evidence: with probabilities; one more pass over them.
        temperature: above 1 for a model that is surer than it is right.
    """
    return _changed_summary(evidence, lambda p: p ** (1 / temperature))


def likeliest_temperature(evidence: Evidence) -> float:
    """The temperature at which the given labels are likeliest, on at most `FITTED` samples, evenly spaced.

    Args:
        evidence: with probabilities, all of which have been read before.
    """
    n = len(evidence)
    rows = np.unique(np.linspace(0, n - 1, min(n, FITTED)).astype(np.int64))
    logits = np.log(np.maximum(evidence.need_probabilities().rows(rows), LEAST))
    return fit_temperature(logits, evidence.labels[rows]).value


def _changed_summary(evidence: Evidence, change: Callable[[Numbers], Numbers]) -> Summary:
    own, other = np.empty(len(evidence)), np.empty(len(evidence))
    best = np.empty(len(evidence), np.int64)
    for part, p in evidence.need_probabilities().blocks():
        rows, given, changed = np.arange(len(p)), evidence.labels[part], change(p)
        changed = changed / changed.sum(1, keepdims=True)
        own[part], best[part] = changed[rows, given], changed.argmax(1)
        changed[rows, given] = -np.inf
        other[part] = changed.max(1)
    return Summary(own, other, best)
