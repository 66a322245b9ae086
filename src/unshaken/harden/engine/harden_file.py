"""`harden.json`: what decides the weights of a hardening run, and how it ended."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from unshaken.core.consent import remember_code
from unshaken.core.documents import validate
from unshaken.core.errors import ParameterError, RunError
from unshaken.harden.engine.training import Training
from unshaken.models.loaders.from_run import ShapeRecord
from unshaken.store.run_dir import RunDir

NAME = "harden.json"

Count = Annotated[int, Field(ge=0, le=10**12)]


class FigureRecord(BaseModel):
    """A figure with its interval, as `Figure.to_json` writes it."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    value: float
    low: float
    high: float
    n: Count


class FlagRecord(BaseModel):
    """A recorded reason to doubt a figure."""

    model_config = ConfigDict(extra="forbid")

    name: str
    detail: str
    ids: list[str] = []


class CostRecord(BaseModel):
    """Passes and seconds."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    forwards: float
    backwards: float
    seconds: float


class ThreatRecord(BaseModel):
    """What the held-out images were attacked with."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    norm: str
    eps: float


class ResultRecord(BaseModel):
    """How a run ended."""

    model_config = ConfigDict(extra="allow")

    chosen_epoch: Count
    chosen_by: str
    epochs: Count
    threat: ThreatRecord | None
    figures: dict[str, FigureRecord]
    flags: list[FlagRecord]
    cost: CostRecord


class HardenConfig(BaseModel):
    """Configuration and result of a training run, stored as `harden.json`.

    Args:
        model: SPEC or architecture.
        data: SPEC.
        recipes: `NAME[:k=v,...]`, in order.
        training: of the loop.
        arch: as in `model.json`.
        classes: names in logit order.
        shape: of the images.
        data_fingerprint: of the content, labels included.
        labels_version: name of the labels that replaced those of the data (`?labels=FILE`); None otherwise.
        images: samples that can be used, of them those held out.
        processes: how many trained together.
        further: fingerprints of models, files, folders and data that recipes name, such as a teacher; empty in runs of
            earlier versions.
        provenance: versions and machine.
        result: None until the run has ended.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    schema_: Literal[1] = Field(1, alias="schema", serialization_alias="schema")
    model: str
    data: str
    recipes: list[str]
    training: dict[str, Any]
    arch: str
    classes: list[str]
    shape: ShapeRecord
    data_fingerprint: str
    labels_version: str | None = None
    images: dict[str, Count]
    processes: int = Field(1, ge=1, le=10**6)
    further: dict[str, str] = {}
    provenance: dict[str, Any] = {}
    result: dict[str, Any] | None = None


def read_harden(run: RunDir) -> HardenConfig:
    """What `harden.json` says.

    Raises:
        RunError: it is absent or damaged.
    """
    where, advice = f"{run}: {NAME}", "start a new run"
    config = validate(HardenConfig, run.read_json(NAME), where, RunError, advice)
    try:
        Training(**{k: v for k, v in config.training.items() if k in Training.model_fields})
    except ParameterError as error:
        raise RunError(f"{where} is damaged ({error}); {advice}") from None
    remember_code(config.recipes, f"{run}/{NAME}")
    if config.result is not None:
        validate(ResultRecord, config.result, f"{where}, result", RunError, advice)
    return config
