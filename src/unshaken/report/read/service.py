"""The record and the rows of a score endpoint's history."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from unshaken.core.documents import validate
from unshaken.core.errors import RunError
from unshaken.store.run_dir import RunDir

RECORD = "service.json"


class ServiceRecord(BaseModel):
    """What decides the meaning of a history's rows.

    Args:
        model_name: of the model.
        model_fingerprint: of its weights and code.
        classes: names in order; empty where it has none.
        accept: share of normal images that detectors accept at least.
        thresholds: by detector.
        most_rejected: by detector, the share of normal images that is surely rejected at most, whatever the luck of
            the calibration samples.
        most_rejected_by_any: the same of all detectors together.
        images: of a window.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    schema_: Literal[1] = Field(1, alias="schema", serialization_alias="schema")
    model_name: str
    model_fingerprint: str
    classes: list[str]
    accept: float
    thresholds: dict[str, float]
    most_rejected: dict[str, float]
    most_rejected_by_any: float
    images: int

    @classmethod
    def read(cls, run: RunDir) -> ServiceRecord:
        """The record of a run directory.

        Raises:
            RunError: it is damaged.
        """
        return validate(cls, run.read_json(RECORD), f"{run}: {RECORD}", RunError, "start a new history")


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """One window.

    Args:
        number: from 0.
        began: seconds since 1970.
        ended: as `began`.
        complete: whether it has ended.
        counts: by kind and name, the count and of how many images.
    """

    number: int
    began: float
    ended: float
    complete: bool
    counts: dict[tuple[str, str], tuple[int, int]]


def read_window_counts(run: RunDir) -> list[WindowCounts]:
    """All windows of a history, in order.

    Raises:
        RunError: a file is damaged.
    """
    table = run.rows("windows")
    groups: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in table.sort_by("window").to_pylist() if len(table) else ():
        groups[row["window"]].append(row)
    return [
        WindowCounts(
            number,
            rows[0]["began"],
            rows[0]["ended"],
            rows[0]["complete"],
            {(row["kind"], row["name"]): (row["count"], row["n"]) for row in rows},
        )
        for number, rows in groups.items()
    ]
