"""`harden.json`: what decides the weights of a hardening run, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from unshaken.core.consent import remember_code
from unshaken.core.documents import validate
from unshaken.core.errors import ParameterError, RunError
from unshaken.data import load_data
from unshaken.data.dataset import content_mark
from unshaken.harden.engine._checkpoint import Progress
from unshaken.harden.engine.checks import FIGURES
from unshaken.harden.engine.recipe import Recipe
from unshaken.harden.engine.training import Training
from unshaken.measure import share
from unshaken.models import fingerprint
from unshaken.models.loaders.from_run import ShapeRecord
from unshaken.models.loaders.load import second_model
from unshaken.store.lock import locked
from unshaken.store.run_dir import RunDir

if TYPE_CHECKING:
    from unshaken.harden.engine._checkpoint import Progress
    from unshaken.harden.engine.loop import Loop

NAME = "harden.json"
START = "start.safetensors"
"""The starting weights, where they are a candidate."""

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
    """Cost of a training run: passes and seconds."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    forwards: float
    backwards: float
    seconds: float


class ThreatRecord(BaseModel):
    """Threat that the held-out images were attacked with."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    norm: str
    eps: float


class ResultRecord(BaseModel):
    """Result of a training run."""

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

    schema_: Literal[1] = Field(default=1, alias="schema", serialization_alias="schema")
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
    processes: int = Field(default=1, ge=1, le=10**6)
    further: dict[str, str] = {}
    provenance: dict[str, Any] = {}
    result: dict[str, Any] | None = None


def read_harden(run: RunDir) -> HardenConfig:
    """Read and check `harden.json` of a run directory.

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


def further_content(recipes: Sequence[Recipe]) -> dict[str, str]:
    """Fingerprints of models, files, folders and data that recipes name, by how they are named.

    A file or folder that does not exist is left out: the recipe raises when it begins.

    Args:
        recipes: of a training run.

    Raises:
        ModelError: a model cannot be loaded.
        DataError: data cannot be opened.
    """
    models = {spec for recipe in recipes for spec in recipe.further_models}
    files = {name for recipe in recipes for name in recipe.further_files if Path(name).exists()}
    data = {spec for recipe in recipes for spec in recipe.further_data}
    return {
        **{spec: fingerprint(second_model(spec)) for spec in sorted(models)},
        **{name: content_mark(Path(name)) for name in sorted(files)},
        **{spec: load_data(spec).fingerprint for spec in sorted(data)},
    }


def result_of(loop: Loop, progress: Progress) -> dict[str, Any]:
    """The result of a training that has ended, as `harden.json` records it.

    Args:
        loop: as it ended.
        progress: of it.
    """
    of_epochs: dict[int, dict[str, float]] = {-1: progress.start, **{int(c["epoch"]): c for c in progress.curves}}
    known = progress.best_epoch < 0 and loop.reference is not None  # figures of the audited images, not the held-out
    chosen = {} if known else of_epochs.get(progress.best_epoch, {})
    figures: dict[str, Any] = {}
    labels = loop.held.labels
    by_pixel = labels is not None and labels.ndim > 1  # mean shares of pixels, whose spread over images is not kept
    for name, n in (("held_accuracy", len(loop.held)), ("held_robust", min(len(loop.held), loop.check.attacked))):
        if name in chosen and not by_pixel:
            figures[name] = share(round(chosen[name] * n), n).to_json()
    threat = loop.threat
    return {
        "chosen_epoch": progress.best_epoch + 1,
        "chosen_by": loop.select,
        "epochs": progress.epoch,
        "stopped_early": progress.epoch < loop.training.epochs,
        "threat": None if threat is None else {"norm": threat.norm, "eps": threat.eps},
        "figures": figures,
        "start": progress.start,
        "start_kept": _why_start(loop, progress),
        "flags": [{"name": k, "detail": v, "ids": []} for k, v in progress.flags.items()],
        "cost": {"forwards": progress.forwards, "backwards": progress.backwards, "seconds": progress.seconds},
    }


def _why_start(loop: Loop, progress: Progress) -> str:
    """Why the starting weights are kept; empty where an epoch is."""
    if progress.best_epoch >= 0 or not progress.start:
        return ""
    name, start = FIGURES[loop.select], progress.start
    what = {"repair": "under the audited changes", "robust": "under attack"}.get(loop.select, "on unchanged images")
    best = max((c for c in progress.curves if name in c), key=lambda c: c[name], default=None)
    if best is None:
        return "no epoch was measured"
    where = "" if loop.reference is None else " (on the audited images)"
    text = (
        f"no epoch was better within what may be lost: held-out accuracy {what} was {start[name]:.1%} at the start"
        f"{where} and {best[name]:.1%} at best, in epoch {int(best['epoch']) + 1}, where accuracy on unchanged images "
        f"went from {start['held_accuracy']:.1%}{where} to {best['held_accuracy']:.1%}"
    )
    most = loop.training.max_clean_loss
    return text if most is None else f"{text} (max_clean_loss allows {100 * most:g} points)"


def earlier_refusal(run: RunDir) -> str:
    """Why an audit refused the weights of a training run that is there; empty where none did."""
    result = read_harden(run).result if run.exists(NAME) else None
    return str((result or {}).get("refused", ""))


def keep_start(run: RunDir, why: str) -> dict[str, Any]:
    """Put the starting weights in the place of the chosen ones, which an audit found worse.

    The reason is written first: whoever resumes after an interruption in between puts the weights there again.

    Args:
        run: a finished training whose starting weights are a candidate.
        why: what the audit found.

    Returns:
        The result, as `harden.json` has it.

    Raises:
        RunError: the training has not ended, or its starting weights are not there.
    """
    with locked(run):
        config = read_harden(run)
        if config.result is None or not run.exists(START):
            raise RunError(f"{run}: holds no finished training with {START}; start a new run")
        config.result |= {"chosen_epoch": 0, "start_kept": why, "refused": why, "figures": {}}
        run.write_json(config.model_dump(mode="json", by_alias=True), NAME)
        run.write(run.read(START), "model.safetensors")
    return config.result
