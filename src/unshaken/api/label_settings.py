"""The settings of a search for wrong labels, which a resume must share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unshaken.api.label_evidence import Source, mark_of
from unshaken.api.label_record import RECORD, refuse_others
from unshaken.core.errors import RunError
from unshaken.data import Dataset
from unshaken.harden.engine.cross_validation import FOLDER as FOLDS
from unshaken.labels.engine.finder import Finder
from unshaken.labels.engine.frozen import FOLDER as FEATURES
from unshaken.store.run_dir import RunDir

ADDED = ("model_fingerprint",)
"""Settings that searches of earlier versions did not write down; they kept nothing that depends on them."""


def settings_of(
    dataset: Dataset, finders: Mapping[str, Finder], source: Source, *, limit: int | None, review: int
) -> dict[str, Any]:
    """Everything that decides what a search finds, as `labels.json` holds it.

    Args:
        dataset: that is examined.
        finders: by name.
        source: of probabilities and features.
        limit: samples at most; None for all.
        review: samples to draw for review.
    """
    return {
        "data": dataset.options.spec, "data_fingerprint": dataset.fingerprint,
        "labels_version": dataset.labels_version, "limit": limit,
        "methods": {name: [f.info.name, f.model_dump(mode="json")] for name, f in finders.items()},
        "probabilities": mark_of(source.given), "model": source.model, "folds": source.folds, "review": review,
        "training": source.training.model_dump(mode="json"), "model_fingerprint": source.fingerprint,
    }  # fmt: skip


def pin_settings(run: RunDir, settings: dict[str, Any], *, resume: bool) -> None:
    """Write the settings down before anything is trained, or compare them with those that are there.

    Args:
        run: the run directory.
        settings: see `settings_of`.
        resume: whether to go on with a search that is there.

    Raises:
        RunError: the directory holds another search, or what another command made.
    """
    if not run.exists(RECORD):
        refuse_others(run)
        run.write_json({"schema": 1, "settings": settings}, RECORD)
        return
    record = run.read_json(RECORD)
    if not resume and not _is_empty(run, record):
        raise RunError(f"{run}: already holds a search for wrong labels; add --resume or choose another --out")
    there = {key: settings[key] for key in ADDED} | record.get("settings", {})
    names = [k for k in settings if there.get(k) != settings[k]]
    if names and not _is_empty(run, record):
        raise RunError(f"{run}: was begun with other settings ({', '.join(names)} differ); choose another --out")
    run.write_json({**record, "settings": settings}, RECORD)


def _is_empty(run: RunDir, record: dict[str, Any]) -> bool:
    """Whether nothing was computed, as where a search ended because of what it was given."""
    return not (record.get("finished") or "kind" in record or any(run.names(folder) for folder in (FOLDS, FEATURES)))
