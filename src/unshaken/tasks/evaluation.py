"""`Evaluation`: how good models are at another task than plain classification, found from the rows of its own run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field, NonNegativeInt
from torch import Tensor, nn
from typing_extensions import override

from unshaken.core.documents import validate
from unshaken.core.errors import RunError
from unshaken.core.options import Options
from unshaken.core.registry import Parameters
from unshaken.data import as_dataset, subset
from unshaken.explain.engine.analysis import Findings, Subject
from unshaken.explain.engine.rows import MethodRecord, table_rows
from unshaken.measure import Figure
from unshaken.store.config import Entry
from unshaken.store.run_dir import RunDir
from unshaken.store.tensor_file import TensorFile

BAD = "bad_samples.json"
"""Samples that a run could not use so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verbs:
    """Functions of higher rooms for an evaluation that is made of other runs, each in a folder of its own.

    Args:
        audit: see `unshaken.audit`.
        detect: see `unshaken.detect`.
        explain: see `unshaken.explain`.
        load_plan: from a name, a file or lines to the lines of a plan.
        conditions_of: from the lines of a plan to the ids of its conditions.
    """

    audit: Callable[..., Any]
    detect: Callable[..., Any]
    explain: Callable[..., Any]
    load_plan: Callable[[Any], list[Entry]]
    conditions_of: Callable[[Sequence[Entry]], list[str]]


@dataclass(frozen=True, eq=False, kw_only=True)
class EvaluationSubject(Subject):
    """Models and samples that an evaluation judges, and the run directory that keeps what it has finished.

    Args:
        run: the directory.
        method: registry name of the evaluation.
        options: of the run.
        verbs: for an evaluation that makes further runs.
        given: the models as they were named, for an evaluation that opens them itself.
        unusable: id to reason of samples that could not be used; of all data sets of the run.
    """

    run: RunDir
    method: str
    options: Options
    verbs: Verbs
    given: Sequence[str | nn.Module] = ()
    unusable: dict[str, str] = field(default_factory=dict)

    @property
    @override
    def bad(self) -> dict[str, str]:
        return self.unusable

    def rows(self, table: str, part: str, make: Callable[[], Mapping[str, Sequence[Any]]]) -> pa.Table:
        """The rows of a part of the evaluation: made and written once, and read where a run is resumed.

        Args:
            table: a declared one with the columns `condition` and `method`.
            part: its name, unique in the table: the rows' `condition`.
            make: gives the other columns, by name.
        """
        if not self.run.has_rows(table, part, 0):
            made = table_rows(table, part, self.method, make())
            self._keep_bad()
            self.run.write_rows(made, table, part, 0)
        return self.run.rows(table, condition=part)

    def arrays(self, part: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Tensors that parts share, such as features: made and kept once, and read where a run is resumed.

        Args:
            part: name of their file.
            make: gives the tensors, by name.
        """
        name = f"{part}.safetensors"
        if not self.run.exists("arrays", name):
            made = TensorFile(dict(make()))
            self._keep_bad()
            self.run.write_tensors(made, "arrays", name)
        return dict(self.run.read_tensors("arrays", name).tensors)

    def _keep_bad(self) -> None:
        """Write down the samples that a part could not use before the part itself, which is not made again."""
        if self.unusable:
            self.run.write_json({"samples": self.unusable}, BAD)

    def with_data(self, data: str) -> EvaluationSubject:
        """The same models on further data, with the limit and the seed of the run.

        Args:
            data: its SPEC, one of the evaluation's `further_data`.

        Raises:
            DataError: it cannot be read.
        """
        dataset = as_dataset(data, download=self.options["download"])
        chosen = subset(dataset, self.options["limit"], self.seed).tolist()
        return replace(self, dataset=dataset, indices=chosen)


@dataclass(frozen=True, slots=True)
class Listing:
    """A table of an evaluation's page.

    Args:
        caption: a sentence.
        columns: their titles; the first one holds names.
        rows: of texts, numbers, figures, or None for nothing.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | Figure | None, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """The table as `evaluate.json` holds it."""
        cells = [[one.to_json() if isinstance(one, Figure) else one for one in row] for row in self.rows]
        return {"caption": self.caption, "columns": list(self.columns), "rows": cells}


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationFindings(Findings):
    """Findings of an evaluation; its rows are written already.

    Args:
        answer: sentences that the page begins with: what was found.
        listings: tables of the page.
    """

    answer: tuple[str, ...] = ()
    listings: tuple[Listing, ...] = ()


class Evaluation(Parameters, ABC):
    """Base class of evaluations. A subclass writes `judge`.

    Class attributes: `title`, the heading of its page; `measures`, the names of its figures, which may be followed by
    `_` and what they are of, such as `accuracy_knn` for `accuracy`; `needs`, of `model` (one, opened), `models` (opened
    by the evaluation itself), `images` and `labels`.
    """

    room: ClassVar[str] = "tasks"
    title: ClassVar[str]
    measures: ClassVar[tuple[str, ...]]
    needs: ClassVar[frozenset[str]] = frozenset({"model", "images", "labels"})

    def check(self, subject: EvaluationSubject) -> None:
        """Refuse, before any work, parameters and inputs that do not fit, or other models than those that were begun.

        Args:
            subject: as for `judge`.

        Raises:
            UnshakenError: they do not; the message says which.
        """

    @abstractmethod
    def judge(self, subject: EvaluationSubject) -> EvaluationFindings:
        """Make the rows of each part that is not there yet, and the figures from all rows.

        Args:
            subject: with all that `needs` names.

        Raises:
            ModelError: a model does not have what the evaluation measures.
            DataError: the samples do not, or there are too few.
        """


RECORD = "evaluate.json"


class EvaluationRecord(MethodRecord):
    """Record of a run of `unshaken evaluate`: its settings and, at its end, its findings.

    Args:
        title: heading of the page.
        settings: what was asked; a resume with others is refused.
        answer: sentences that the page begins with.
        listings: tables of the page; see `Listing`.
        samples: examined.
        bad_samples: samples that could not be read, with the reason.
        provenance: versions and machine.
        finished: whether all is done.
    """

    group: str = "evaluations"
    table: str = ""
    title: str
    settings: dict[str, Any]
    answer: list[str] = Field(default_factory=list)
    listings: list[dict[str, Any]] = Field(default_factory=list)
    samples: NonNegativeInt = 0
    bad_samples: list[dict[str, str]] = Field(default_factory=list)
    provenance: dict[str, Any] = Field(default_factory=dict)
    finished: bool = False

    @classmethod
    def read(cls, run: RunDir) -> EvaluationRecord:
        """Read the record of a run.

        Raises:
            RunError: it is absent or damaged.
        """
        where = f"{run}: {RECORD}"
        return validate(cls, run.read_json(RECORD), where, RunError, "evaluate again in a new --out")

    def write(self, run: RunDir) -> None:
        """Write the record to a run."""
        run.write_json(self.model_dump(mode="json"), RECORD)
