"""`HolisticRecord`: what `holistic.json` says of a comparison of models over six aspects."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from unshaken.core.documents import validate
from unshaken.core.errors import RunError
from unshaken.models.class_names import ClassNames
from unshaken.store.run_dir import RunDir
from unshaken.tasks.zero_shot.model_factors import ModelFactors

RECORD = "holistic.json"
AUDIT, DETECT, CUES = "audit", "detect", "cues"
"""Folders of the runs beneath, inside a model's folder; those of shifted sets are `shift-NAME`."""


class ModelRecord(BaseModel):
    """The record of one model in a comparison.

    Args:
        name: of the model.
        key: of its folder, and the condition of its rows.
        fingerprint: of its modules and weights; empty in records of earlier versions.
        classes: names of its classes, in the order of its logits; empty where it has none.
        zero_shot: whether its logits are scaled cosines.
        factors: of its design; the number of prompts is filled in.
        templates: of its prompts.
        within: shifted set to the numbers of the classes that it has, where these are some of the model's alone.
        done: whether all of its runs are finished.
    """

    name: str
    key: str
    fingerprint: str = ""
    classes: tuple[str, ...] = ()
    zero_shot: bool
    factors: ModelFactors
    templates: tuple[str, ...] = ()
    within: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    done: bool = False


class HolisticRecord(BaseModel):
    """The record of a comparison of models.

    Args:
        settings: what was asked; a resume with others is refused.
        models: in the order given.
        classes: names of the data's classes.
        shifts: names of further labelled sets.
        against: folders of the sets of abnormal images, inside each model's run of `detect`.
        baseline: the family that effective robustness is measured against; empty for all other models.
        provenance: versions and machine.
        finished: whether all is done.
    """

    settings: dict[str, Any]
    models: list[ModelRecord] = Field(default_factory=list)
    classes: list[str] = Field(default_factory=list)
    shifts: list[str] = Field(default_factory=list)
    against: list[str] = Field(default_factory=list)
    baseline: str = ""
    provenance: dict[str, Any] = Field(default_factory=dict)
    finished: bool = False

    @classmethod
    def read(cls, run: RunDir) -> HolisticRecord:
        """The record of a run.

        Raises:
            RunError: it is absent or damaged.
        """
        return validate(cls, run.read_json(RECORD), f"{run}: {RECORD}", RunError, "compare again in a new --out")

    def write(self, run: RunDir) -> None:
        """Write the record into a run."""
        run.write_json(self.model_dump(mode="json"), RECORD)

    def model(self, name: str) -> ModelRecord | None:
        """The record of a model; None where it was not begun."""
        return next((m for m in self.models if m.name == name), None)

    def names_of(self, model: ModelRecord) -> tuple[str, ...]:
        """Names of a model's classes; of one that has none those of the data, in whose order its classes are."""
        return tuple(self.classes) if ClassNames(model.classes).unnamed else model.classes

    def place(self, name: str) -> int:
        """The number of a model: its place among those that were begun, or the next one."""
        return next((i for i, m in enumerate(self.models) if m.name == name), len(self.models))


def beneath(run: RunDir, *parts: str) -> RunDir:
    """A run inside another one."""
    return RunDir("/".join((run.path.rstrip("/"), *parts)))
