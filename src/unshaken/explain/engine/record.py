"""`ExplainRecord`: what `explain.json` says of a run."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, NonNegativeInt

from unshaken.core.documents import validate
from unshaken.core.errors import RunError
from unshaken.store.run_dir import RunDir

RECORD = "explain.json"


class MethodRecord(BaseModel):
    """What was found by one method.

    Args:
        method: its registry name.
        params: its parameters.
        group: `attribution`, `units`, `filters`, `biases`, `geometry` or `textures`.
        table: of its rows.
        figures: name to a figure's fields.
        remarks: what a reader must know beside them.
        extra: further facts for the page; of maps `over_control`: what each metric is above the random map's, paired.
        forwards: passes in all.
        backwards: as `forwards`.
    """

    method: str
    params: dict[str, Any] = Field(default_factory=dict)
    group: str
    table: str
    figures: dict[str, dict[str, Any]] = Field(default_factory=dict)
    remarks: list[str] = Field(default_factory=list)
    extra: dict[str, Any] = Field(default_factory=dict)
    forwards: NonNegativeInt = 0
    backwards: NonNegativeInt = 0


class ExplainRecord(BaseModel):
    """What a run of `unshaken explain` was told, and, at its end, what it found.

    Args:
        settings: what was asked; a resume with others is refused.
        found: condition to what its method found.
        agreements: of the maps of each two methods: `first`, `second` and Spearman's correlation as a figure.
        samples: examined.
        classes: names of the model's classes.
        bad_samples: samples that could not be read, with the reason.
        provenance: versions and machine.
        finished: whether all methods are done.
    """

    settings: dict[str, Any]
    found: dict[str, MethodRecord] = Field(default_factory=dict)
    agreements: list[dict[str, Any]] = Field(default_factory=list)
    samples: NonNegativeInt = 0
    classes: list[str] = Field(default_factory=list)
    bad_samples: list[dict[str, str]] = Field(default_factory=list)
    provenance: dict[str, Any] = Field(default_factory=dict)
    finished: bool = False

    @classmethod
    def read(cls, run: RunDir) -> ExplainRecord:
        """The record of a run.

        Raises:
            RunError: it is absent or damaged.
        """
        where = f"{run}: {RECORD}"
        return validate(cls, run.read_json(RECORD), where, RunError, "explain again in a new --out")

    def write(self, run: RunDir) -> None:
        """Keep it."""
        run.write_json({"schema": 1, **self.model_dump(mode="json")}, RECORD)
