"""`holistic`: any number of models over six aspects of robustness, grouped by six factors of their design."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from unshaken.api.holistic_steps import SETS, Aspects, Steps, begin_record, known_model, make_record
from unshaken.api.job import default_out
from unshaken.api.options import check_options
from unshaken.core.consent import call
from unshaken.core.errors import DataError, ParameterError
from unshaken.core.options import EXPLAIN_RECORDS, Options
from unshaken.core.part import CLEAN
from unshaken.core.registry import parse_method
from unshaken.core.user_code import refuse_exit
from unshaken.data import DataSource, as_dataset
from unshaken.explain.biases.cue_conflict import CueConflict
from unshaken.report.blocks import Page
from unshaken.report.pages.holistic import write_holistic_report
from unshaken.report.render.notebook import render_notebook
from unshaken.run import load_plan
from unshaken.run.plan import prepare
from unshaken.store.lock import locked
from unshaken.store.provenance import provenance
from unshaken.store.run_dir import RunDir
from unshaken.tasks.zero_shot.candidates import Candidate, LoadedCandidate, check_candidates, open_candidate
from unshaken.tasks.zero_shot.choices import Choose
from unshaken.tasks.zero_shot.record import HolisticRecord, ModelRecord
from unshaken.tasks.zero_shot.rows import write_rows
from unshaken.tasks.zero_shot.tables import Captions, read_captions
from unshaken.tasks.zero_shot.visual_factors import check_factors, read_factors

PLAN = "3dcc"
"""The corruptions of the sixth aspect: those that know depth."""


@dataclass(frozen=True, slots=True)
class Holistic:
    """A finished comparison.

    Args:
        run: its directory.
        summary: what `figures.json` holds: by aspect and model.
        page: what `report.html` shows, as blocks.
    """

    run: RunDir
    summary: dict[str, Any] = field(repr=False)
    page: Page = field(repr=False)

    def _repr_html_(self) -> str:
        return render_notebook(self.page, f"{str(self.run).rstrip('/')}/report.html")


@refuse_exit()
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
    are read from rows, and one page shows them. All models are loaded once before any work, one after another, so that
    one that cannot be loaded or has other weights than before is refused at once. What is finished is not done again.

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
        RunError: the directory holds another run, or this one without `resume`, or a model of it has other weights now.
    """
    options = check_options(
        records=EXPLAIN_RECORDS, limit=limit, seed=seed, out=out, resume=resume, device=device,
        batch_size=batch_size, workers=workers, download=download, save_examples=0,
    )  # fmt: skip
    declared = check_candidates(candidates)
    families = sorted({f.line for f in declared.values()})
    if baseline and baseline not in families:
        raise ParameterError(f"no model is of the family {baseline!r}; the families are {', '.join(families)}")
    if asked < 1 or choices < 2:
        raise ParameterError(f"asked={asked} must be 1 or more, and choices={choices} must be 2 or more")
    for name in shifts or ():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}", name):
            raise ParameterError(f"the name {name!r} of a shifted set must be letters, digits, dots and hyphens")
    specs = [c.model for c in candidates.values() if isinstance(c.model, str)]
    with call(specs, data, cue_data, fitting, dict(shifts or {}), photos, against):

        def opened(source: DataSource | None) -> Any:
            return dataset if source is None else as_dataset(source, download=download)

        dataset = as_dataset(data, download=download)
        aspects = Aspects(
            dataset=dataset,
            plan=load_plan(plan),
            shifts={name: opened(source) for name, source in (shifts or {}).items()},
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
        _check_shifts(images, aspects)
        if aspects.captions is not None:
            aspects.captions.among(aspects.photos.ids)
        named = tuple(classes) or tuple(dataset.classes)
        if choose is not None and named and choices > len(named):
            raise ParameterError(
                f"choices={choices} options are wanted of {len(named)} classes: give {len(named)} at most"
            )
        record = make_record(candidates, declared, aspects, options, named, images, baseline)
        return _compare(candidates, aspects, options, record, images)


def _compare(
    candidates: Mapping[str, Candidate], aspects: Aspects, options: Options, record: HolisticRecord,
    images: Mapping[str, Sequence[str]],
) -> Holistic:  # fmt: skip
    first, specs = next(iter(candidates.values())).model, aspects.dataset.options.spec
    run = RunDir(options["out"] or default_out(first if isinstance(first, str) else "models", specs, "holistic"))
    with locked(run):
        record = begin_record(run, record, resume=options["resume"])
        steps = Steps(run, aspects, options)
        if images:
            columns = {"id": [i for ids in images.values() for i in ids]}
            columns["factor"] = [factor for factor, ids in images.items() for _ in ids]
            write_rows(run, "visual_factors", "data", columns)

        def load(name: str) -> tuple[LoadedCandidate, ModelRecord]:
            place, download = record.place(name), options["download"]
            opened = open_candidate(place, name, candidates[name], record.classes, download=download)
            return opened, known_model(run, record, opened)

        left = [name for name in candidates if not load(name)[1].done]  # refuse before any work what cannot be loaded
        for name in left:
            opened, known = load(name)
            steps.all(opened, known)
            if known is record.models[0]:
                steps.choices(opened)
            known.done = True
            record.write(run)
        record.provenance, record.finished = provenance(), True
        record.write(run)
        page, figures = write_holistic_report(run)
    return Holistic(run, figures, page)


def _check_shifts(factors: Mapping[str, Sequence[str]], aspects: Aspects) -> None:
    """Refuse sets without labels, and names that would stand for two things in the record or in a table of figures."""
    used = (
        dict.fromkeys(SETS, "a set of this comparison") | dict.fromkeys(factors, "a factor") | {CLEAN.id: "a condition"}
    )
    used |= {condition.id: "a condition" for step in prepare(aspects.plan) for condition in step.conditions}
    for name, dataset in aspects.shifts.items():
        if dataset.labels is None:
            raise DataError(f"the shifted set {name!r} has no labels: accuracy and calibration need them")
        if other := used.get(name):
            raise ParameterError(f"the shifted set {name!r} has the name of {other}: rename the set")
