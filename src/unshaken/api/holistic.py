"""`holistic`: any number of models over six aspects of robustness, grouped by six factors of their design."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unshaken.api.holistic_steps import Aspects, Steps
from unshaken.api.job import default_out
from unshaken.api.options import Options
from unshaken.api.screening import parse_against
from unshaken.core.consent import call
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.registry import parse_method
from unshaken.data import DataSource, as_dataset
from unshaken.data.dataset import digest
from unshaken.explain.biases.cue_conflict import CueConflict
from unshaken.report.blocks import Page
from unshaken.report.holistic_page import write_holistic_report
from unshaken.report.render.notebook import render_notebook
from unshaken.run import RunDir, load_plan
from unshaken.run.config import provenance
from unshaken.run.lock import locked
from unshaken.tasks.zero_shot.candidates import Candidate, check_candidates, open_candidate
from unshaken.tasks.zero_shot.captions import Captions, read_captions
from unshaken.tasks.zero_shot.choices import Choose
from unshaken.tasks.zero_shot.model_factors import ModelFactors
from unshaken.tasks.zero_shot.record import RECORD, HolisticRecord, ModelRecord
from unshaken.tasks.zero_shot.rows import write_rows
from unshaken.tasks.zero_shot.visual_factors import check_factors, read_factors

PLAN = "3dcc"
"""The corruptions of the sixth aspect: those that know depth."""


@dataclass(frozen=True, slots=True)
class Holistic:
    """A finished comparison.

    Args:
        run: its directory.
        figures: what `figures.json` holds: by aspect and model.
        page: what `report.html` shows, as blocks.
    """

    run: RunDir
    figures: dict[str, Any]
    page: Page

    def _repr_html_(self) -> str:
        return render_notebook(self.page, f"{str(self.run).rstrip('/')}/report.html")


def holistic(
    candidates: Mapping[str, Candidate],
    data: DataSource,
    *,
    classes: Sequence[str] = (),
    plan: str | Sequence[Any] = PLAN,
    factors: str | Path | Mapping[str, Sequence[str]] | None = None,
    cues: str | CueConflict | None = "cue-conflict",
    cue_data: DataSource | None = None,
    against: str | Sequence[str] = (),
    fitting: DataSource | None = None,
    shifts: Mapping[str, DataSource] | None = None,
    captions: str | Path | Captions | None = None,
    photos: DataSource | None = None,
    choose: Choose | None = None,
    asked: int = 200,
    choices: int = 4,
    baseline: str = "",
    limit: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    batch_size: int | Literal["auto"] = "auto",
    workers: int | None = None,
    download: bool = False,
) -> Holistic:
    """Compare models over six aspects of robustness, and group them by six factors of their design.

    The aspects: visual factors, shape bias, abnormal images, calibration, retrieval, corruptions that know depth. Runs
    of `audit`, `detect` and `explain` below one directory hold the rows and stay readable by themselves; all figures
    are read from rows, and one page shows them. A model whose runs are finished is not loaded again.

    Args:
        candidates: name to model, with its declared factors.
        data: labelled images, as for `audit`.
        classes: names for prompts; default those of the data.
        plan: corruptions of the audit, as for `audit`; `()` for none.
        factors: what makes an image hard: a CSV file with the columns `id` and `factor`, or factor to ids.
        cues: `cue-conflict[:k=v,...]`; None for no shape bias.
        cue_data: images whose cues are put in conflict, or that are named SHAPE-TEXTURE; default the data.
        against: sets of abnormal images, as for `detect`: MCM scores zero-shot models, MSP all others.
        fitting: images by which detectors set thresholds (figures do not depend on them); default the data.
        shifts: name to a further labelled set. Where it has some of a model's classes alone, the choice is among them.
        captions: a CSV file with the columns `image` and `caption`, for retrieval.
        photos: the images that they describe; default the data.
        choose: a language model: from image, question and options to the number of one.
        asked: images that it is asked about, at most.
        choices: options of one question: the true class, and those that the first model confuses it with most.
        baseline: the family that effective robustness is measured against; default all other models.
        limit: samples of each set at most, seeded and stratified.
        seed: of all that is drawn.
        out: the directory; default `runs/` and a name.
        resume: go on with the comparison that is there.
        device: `auto`, `cpu`, `cuda`, `mps`.
        batch_size: images in one pass at most, or `auto`.
        workers: threads that decode.
        download: allow models and data to be fetched from their own source.

    Raises:
        ParameterError: a model, a factor or an option is wrong.
        DataError: data, factors or captions are wrong or do not fit.
        RunError: the directory holds another run, or this one without `resume`.
    """
    options = Options(
        limit=limit, seed=seed, out=out, resume=resume, device=device, batch_size=batch_size, workers=workers,
        download=download, save_examples=0,
    )  # fmt: skip
    declared = check_candidates(candidates)
    _check(declared, baseline, asked, choices)
    specs = [c.model for c in candidates.values() if isinstance(c.model, str)]
    with call(specs, data, cue_data, fitting, dict(shifts or {}), photos, against):

        def opened(source: DataSource | None) -> Any:
            return dataset if source is None else as_dataset(source, download=download)

        dataset = as_dataset(data, download=download)
        aspects = Aspects(
            dataset=dataset,
            plan=load_plan(plan),
            shifts={_folder(name): opened(source) for name, source in (shifts or {}).items()},
            against=[against] if isinstance(against, str) else list(against),
            fitting=opened(fitting),
            cues=parse_method(cues, "explain") if isinstance(cues, str) else cues,
            cue_data=opened(cue_data),
            captions=read_captions(captions) if isinstance(captions, str | Path) else captions,
            photos=opened(photos),
            choose=choose,
            asked=asked,
            options=choices,
        )
        images = read_factors(factors) if isinstance(factors, str | Path) else dict(factors or {})
        check_factors(images, dataset.ids)
        if aspects.captions is not None:
            aspects.captions.among(aspects.photos.ids)
        named = tuple(classes) or tuple(dataset.classes)
        record = _record(candidates, declared, aspects, options, named, images, baseline)
        return _compare(candidates, aspects, options, record, images)


def _compare(
    candidates: Mapping[str, Candidate], aspects: Aspects, options: Options, record: HolisticRecord,
    images: Mapping[str, Sequence[str]],
) -> Holistic:  # fmt: skip
    first, specs = next(iter(candidates.values())).model, aspects.dataset.options.spec
    run = RunDir(options.out or default_out(first if isinstance(first, str) else "models", specs, "holistic"))
    with locked(run):
        record = _begin(run, record, resume=options.resume)
        steps = Steps(run, aspects, options)
        if images:
            columns = {"id": [i for ids in images.values() for i in ids]}
            columns["factor"] = [factor for factor, ids in images.items() for _ in ids]
            write_rows(run, "visual_factors", "data", columns)
        for place, (name, candidate) in enumerate(candidates.items()):
            known = record.model(name)
            if known is not None and known.done:
                continue
            opened = open_candidate(place, name, candidate, record.classes, download=options.download)
            if known is None:
                known = ModelRecord(
                    name=name, key=opened.key, zero_shot=opened.is_zero_shot, factors=opened.factors,
                    templates=opened.templates,
                )  # fmt: skip
                record.models.append(known)
                record.write(run)
            steps.all(opened, known)
            if place == 0:
                steps.choices(opened)
            known.done = True
            record.write(run)
        record.provenance, record.finished = provenance(), True
        record.write(run)
        page, figures = write_holistic_report(run)
    return Holistic(run, figures, page)


def _record(
    candidates: Mapping[str, Candidate], declared: Mapping[str, ModelFactors], aspects: Aspects, options: Options,
    classes: Sequence[str], images: Mapping[str, Sequence[str]], baseline: str,
) -> HolisticRecord:  # fmt: skip
    """The record of a comparison that begins."""
    groups = [parse_against(text) for text in aspects.against]
    captions, cues = aspects.captions, aspects.cues
    sets = {"data": aspects.dataset, "cue_data": aspects.cue_data, "fitting": aspects.fitting, "photos": aspects.photos}
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
        "limit": options.limit, "seed": options.seed,
    }  # fmt: skip
    return HolisticRecord(
        settings=settings, classes=list(classes), shifts=list(aspects.shifts),
        against=[f"{group}-{name}" for group, name, _ in groups], baseline=baseline,
    )  # fmt: skip


def _begin(run: RunDir, record: HolisticRecord, *, resume: bool) -> HolisticRecord:
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


def _check(declared: Mapping[str, ModelFactors], baseline: str, asked: int, choices: int) -> None:
    families = sorted({f.line for f in declared.values()})
    if baseline and baseline not in families:
        raise ParameterError(f"no model is of the family {baseline!r}; the families are {', '.join(families)}")
    if asked < 1 or choices < 2:
        raise ParameterError(f"asked={asked} must be 1 or more, and choices={choices} must be 2 or more")


def _folder(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}", name):
        raise ParameterError(f"the name {name!r} of a shifted set must be letters, digits, dots and hyphens")
    return name


def _first(names: Iterable[str]) -> str:
    return next(iter(names), "")
