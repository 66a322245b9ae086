"""`Analysis`: looks at a network as a whole: its units, filters and biases, or the geometry of what it learns from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor

from unshaken.core.batch import Batch
from unshaken.core.classifier import Classifier, View
from unshaken.core.errors import DataError
from unshaken.core.registry import Parameters
from unshaken.core.trust import NOT_FINITE
from unshaken.data import Dataset
from unshaken.data.dataset import BadSample
from unshaken.data.streaming import stream
from unshaken.measure import Figure


@dataclass(frozen=True, eq=False)
class Subject:
    """Models and samples that an analysis measures.

    Args:
        models: name to classifier, in evaluation mode on its device; empty for an analysis that needs none.
        dataset: the samples; None for an analysis that needs none.
        indices: which of its samples.
        seed: of all that is drawn.
        batch: images in one pass at most.
        workers: threads that decode.
        device: where models and images are.
    """

    models: Mapping[str, Classifier] = field(default_factory=dict)
    dataset: Dataset | None = None
    indices: Sequence[int] = ()
    seed: int = 0
    batch: int = 64
    workers: int | None = None
    device: str = "cpu"

    @property
    def model(self) -> Classifier:
        """First of the models."""
        return next(iter(self.models.values()))

    @cached_property
    def bad(self) -> dict[str, str]:
        """Id to reason of the samples that could not be read so far."""
        return {}

    def keep_finite(self, values: Tensor, ids: Sequence[str]) -> Tensor:
        """Which samples have finite values alone; the others are noted as bad ones.

        Args:
            values: of the samples, `[N, ...]`.
            ids: of the samples.

        Returns:
            bool `[N]`, on the CPU.
        """
        kept = values.flatten(1).isfinite().all(1).cpu()
        for i in (~kept).nonzero().flatten().tolist():
            self.bad.setdefault(ids[i], NOT_FINITE)
        return kept

    @property
    def samples(self) -> Dataset:
        """Samples to analyse.

        Raises:
            DataError: there are none.
        """
        if self.dataset is None:
            raise DataError("there are no images to look at: name data")
        return self.dataset

    def batches(self, view: View | None = None) -> Iterator[Batch]:
        """The readable samples, in order, as the first model (or `view`) looks at photos, on the device.

        May be called more than once: an analysis of several passes reads several times and holds one batch.
        """
        if self.dataset is None:
            return
        chosen_view = view or (self.model.view if self.models else None)
        for part in stream(self.dataset, self.indices, view=chosen_view, workers=self.workers, batch_size=self.batch):
            if isinstance(part, BadSample):
                self.bad[part.id] = part.reason
            else:
                yield part.to(self.device)


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """Findings of an analysis: its rows, its figures, and what a reader must know.

    Args:
        rows: columns of its table, by name and of one length; columns left out are null.
        figures: the numbers that sum it up, by name.
        remarks: sentences that a reader must know beside them.
        arrays: what is too large for a row, by name, such as packed masks or a basis; kept beside the rows.
        extra: small facts for the page that are no figures, as JSON.
        forwards: passes in all, an image each.
        backwards: as `forwards`.
    """

    rows: Mapping[str, Sequence[Any]]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    arrays: Mapping[str, Tensor] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    forwards: int = 0
    backwards: int = 0


class Analysis(Parameters, ABC):
    """Base class of analyses. A subclass writes `find`.

    Class attributes: `table`, the table of its rows (see `explain.engine.rows`); `group`, the part of the report that
    shows them; `needs`, of `model`, `images` and `labels`; `several`, whether it compares several models.
    """

    room: ClassVar[str] = "explain"
    table: ClassVar[str]
    group: ClassVar[str]
    needs: ClassVar[frozenset[str]] = frozenset({"model", "images"})
    several: ClassVar[bool] = False

    @property
    def required(self) -> frozenset[str]:
        """Names of `needs`, and `model` where a parameter names one of its layers."""
        return self.needs | {"model"} if getattr(self, "layer", "") else self.needs

    @abstractmethod
    def find(self, subject: Subject) -> Findings:
        """Analyse a subject.

        Args:
            subject: with all that `needs` names.

        Raises:
            ModelError: the model does not have what the analysis looks at.
            DataError: the samples do not, or there are too few.
        """
