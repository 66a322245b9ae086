"""The record of a comparison of models: how it begins, is found again, and which model each name stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from unshaken.api.holistic_steps import Aspects
from unshaken.api.screening import parse_against
from unshaken.core.errors import RunError
from unshaken.core.options import Options
from unshaken.data.dataset import digest
from unshaken.models import fingerprint
from unshaken.run import read_config
from unshaken.store.run_dir import RunDir
from unshaken.tasks.zero_shot.candidates import Candidate, LoadedCandidate
from unshaken.tasks.zero_shot.model_factors import ModelFactors
from unshaken.tasks.zero_shot.record import AUDIT, RECORD, HolisticRecord, ModelRecord, beneath

SETS = ("data", "cue_data", "fitting", "photos")
"""Names of sets in the record beside those of the shifted ones."""


def known_model(run: RunDir, record: HolisticRecord, opened: LoadedCandidate) -> ModelRecord:
    """The record of a model; a new one where nothing was computed yet.

    Raises:
        RunError: the model that was begun under this name is another one.
    """
    own, place = fingerprint(opened.classifier), record.place(opened.name)
    if not beneath(run, opened.key, AUDIT).exists("run.json"):
        known = ModelRecord(
            name=opened.name, key=opened.key, fingerprint=own, classes=tuple(opened.classifier.classes),
            zero_shot=opened.is_zero_shot, factors=opened.factors, templates=opened.templates,
        )  # fmt: skip
        record.models[place : place + 1] = [known]
        record.write(run)
        return known
    known = record.models[place]
    there = known.fingerprint or read_config(beneath(run, known.key, AUDIT)).model_fingerprint
    if there != own:
        raise RunError(
            f"{run}: model {opened.name!r} was begun with other weights (fingerprint {there[:12]}, now {own[:12]}); "
            "give the model that was there, or choose another directory"
        )
    return known


def make_record(
    candidates: Mapping[str, Candidate], declared: Mapping[str, ModelFactors], aspects: Aspects, options: Options,
    classes: Sequence[str], images: Mapping[str, Sequence[str]], baseline: str,
) -> HolisticRecord:  # fmt: skip
    """The record of a comparison that begins."""
    groups = [parse_against(text) for text in aspects.against]
    captions, cues = aspects.captions, aspects.cues
    sets = dict(zip(SETS, (aspects.dataset, aspects.cue_data, aspects.fitting, aspects.photos), strict=True))
    settings = {
        "models": {
            name: {"model": c.model if isinstance(c.model, str) else f"<{type(c.model).__name__}>",
                   "templates": c.templates if isinstance(c.templates, str) else list(c.templates),
                   "factors": declared[name].model_dump(mode="json")}
            for name, c in candidates.items()
        },
        "data": {name: [d.options.spec, d.fingerprint] for name, d in {**sets, **aspects.shifts}.items()},
        "classes": list(classes),
        "plan": [entry.model_dump(mode="json") for entry in aspects.plan],
        "factors": digest(sorted((factor, tuple(ids)) for factor, ids in images.items())) if images else "",
        "cues": None if cues is None else cues.model_dump(mode="json"),
        "against": list(aspects.against),
        "captions": "" if captions is None else digest(captions.texts, captions.images),
        "choose": getattr(aspects.choose, "__qualname__", type(aspects.choose).__name__),
        "asked": aspects.asked, "choices": aspects.options, "baseline": baseline,
        "limit": options["limit"], "seed": options["seed"],
    }  # fmt: skip
    return HolisticRecord(
        settings=settings, classes=list(classes), shifts=list(aspects.shifts),
        against=[f"{group}-{name}" for group, name, _ in groups], baseline=baseline,
    )  # fmt: skip


def begin_record(run: RunDir, record: HolisticRecord, *, resume: bool) -> HolisticRecord:
    """Write the record, or read the one that is there."""
    if not run.exists(RECORD):
        if other := _first(name for name in ("run.json", "explain.json", "harden.json", "rows") if run.exists(name)):
            raise RunError(f"{run}: holds {other!r} of another command; choose another directory")
        record.write(run)
        return record
    if not resume:
        raise RunError(f"{run}: already holds a comparison; resume it (resume=True), or choose another directory")
    kept = HolisticRecord.read(run)
    if names := [k for k in record.settings if kept.settings.get(k) != record.settings[k]]:
        raise RunError(f"{run}: was begun with other settings ({', '.join(names)} differ); choose another directory")
    return kept


def _first(names: Iterable[str]) -> str:
    return next(iter(names), "")
