"""`Check`: what is measured of each image, and which images an examiner should look at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import override

from unshaken.core.registry import Parameters
from unshaken.core.rng import SampleRng
from unshaken.data.dataset import Dataset
from unshaken.inspect.engine.sample import DecodedSample
from unshaken.measure.statistics.columns import Flags, Indices, Numbers
from unshaken.measure.statistics.intervals import Figure

Quantities = Mapping[str, float | str]
"""What is measured of an image, by name: numbers, and texts such as hashes."""


@dataclass(frozen=True, slots=True, eq=False)
class Measurements:
    """All samples of all sets, with what was measured of them, in one order.

    Args:
        sets: names of the sets: the data, then those that it is compared with.
        set_of: number of each sample's set, int64 `[N]`.
        ids: of the samples, unique in their set.
        labels: name of each sample's class; None where a sample has none.
        errors: why a sample could not be read; empty where it was.
        quantities: name to values `[N]`: float64, NaN where unreadable; or texts, empty where unreadable.
        correct: whether a model's prediction of each sample is right, from a run's rows: 1, 0, or -1 where unknown.
        seed: of what is drawn.
    """

    sets: tuple[str, ...]
    set_of: Indices
    ids: Sequence[str]
    labels: Sequence[str | None]
    errors: Sequence[str]
    quantities: Mapping[str, NDArray[Any]]
    correct: NDArray[np.int8]
    seed: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def readable(self) -> Flags:
        """Which samples could be read, `[N]`."""
        return np.array([not error for error in self.errors], np.bool_)


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A model that checks may ask.

    Args:
        spec: of the model.
        device: where it computes.
        seed: of what is drawn.
        download: whether it may be fetched.
    """

    spec: str
    device: str = "cpu"
    seed: int = 0
    download: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Issues:
    """The samples that a check points at.

    Args:
        rows: their places among all samples, int `[M]`, the worst first.
        scores: of each, `[M]`; the lower, the worse.
        checked: how many samples of the data were examined.
        groups: number of the group of images that are alike, `[M]`; None where a check looks at images one by one.
        notes: what to say of each; None for its score.
        figures: further figures by name.
        remarks: sentences that a reader must know.
        table: a table of the page: its caption, titles of its columns, and rows of texts, numbers and figures.
    """

    rows: Indices
    scores: Numbers
    checked: int
    groups: Indices | None = None
    notes: Sequence[str] | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    table: tuple[str, tuple[str, ...], tuple[tuple[str | float | Figure | None, ...], ...]] | None = None


def halves_of(ids: Sequence[str], seed: int, method: str) -> Indices:
    """Divide samples into two halves, 0 and 1, by seed, method and ids alone, whatever their order; `[N]`."""
    keys = SampleRng.of(seed, method, ids).keys.numpy()
    return np.asarray(np.argsort(np.argsort(keys, kind="stable")) % 2, np.int64)


class Measure(Protocol):
    """What is measured of each image of a data set."""

    def measure(self, sample: DecodedSample) -> Quantities:
        """The quantities of one image, by names that nothing else in one run uses.

        Args:
            sample: decoded; called by several threads.
        """
        ...


class Check(Parameters, ABC):
    """Base class of checks of a data set. A subclass writes `find`, and `measure` where it reads pixels.

    Class attributes: `title`, the heading of its samples; `counts`, whether its issues are a share of the
    samples that has an interval; `needs`, of `model` and
    `labels`.
    """

    room: ClassVar[str] = "inspect"
    title: ClassVar[str]
    counts: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset()

    def measure(self, sample: DecodedSample) -> Quantities:
        """What `find` needs of one image, by names that no other check uses for another quantity.

        Args:
            sample: decoded; called by several threads.
        """
        return {}

    def measure_by_model(self, model: ModelUse, dataset: Dataset, rows: Indices) -> Mapping[str, Numbers]:
        """What `find` needs of the data and a model, by name: a number for each sample, NaN where it has none.

        Args:
            model: which one, and how it is opened.
            dataset: the data.
            rows: which of its samples, `[n]`.
        """
        return {}

    @abstractmethod
    def find(self, measured: Measurements) -> Issues:
        """The samples to look at, from what was measured of all.

        Args:
            measured: of all sets; issues are samples of the first, or groups that one of them belongs to.
        """


class ScoreCheck(Check):
    """Base class of checks that flag each image of the data whose score is below a threshold. A subclass has `score`.

    Class attribute: `quantity`, the name of the score among what is measured.
    """

    quantity: ClassVar[str]
    threshold: float = Field(default=0.5, description="flag images whose score is below it", ge=0, le=1)

    def score(self, sample: DecodedSample) -> float:
        """The score of an image; the lower, the worse."""
        raise NotImplementedError

    @override
    def measure(self, sample: DecodedSample) -> Quantities:
        return {self.quantity: self.score(sample)}

    def scores(self, values: Numbers) -> Numbers:
        """The scores of all readable images of a set, from what was measured."""
        return values

    @override
    def find(self, measured: Measurements) -> Issues:
        own = np.flatnonzero((measured.set_of == 0) & measured.readable)
        scores = self.scores(np.asarray(measured.quantities[self.quantity], np.float64)[own])
        flagged = np.flatnonzero(scores < self.threshold)
        order = flagged[np.argsort(scores[flagged], kind="stable")]
        return Issues(own[order], scores[order], len(own))
