"""`holistic`: the evaluation `zero-shot` of objects: models, data, captions and a language model of your own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from unshaken.api.evaluate import VERBS, run_evaluation
from unshaken.api.job import default_out
from unshaken.api.options import check_options
from unshaken.core.consent import call
from unshaken.core.options import EVALUATE_RECORDS
from unshaken.core.package import public
from unshaken.core.user_code import refuse_exit
from unshaken.data import DataSource, as_dataset, subset
from unshaken.explain.biases.cue_conflict import CueConflict
from unshaken.report.blocks import Page
from unshaken.report.render.notebook import render_notebook
from unshaken.store.lock import locked
from unshaken.store.run_dir import RunDir
from unshaken.tasks.evaluation import EvaluationSubject
from unshaken.tasks.zero_shot.across import FIGURES
from unshaken.tasks.zero_shot.candidates import Candidate
from unshaken.tasks.zero_shot.choices import Choose
from unshaken.tasks.zero_shot.comparison import Comparison
from unshaken.tasks.zero_shot.tables import Captions
from unshaken.tasks.zero_shot.zero_shot import ZeroShot

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


@public()
@refuse_exit()
def holistic(
    candidates: Mapping[str, Candidate], data: DataSource, *, classes: Sequence[str] = (),
    plan: str | Sequence[Any] = PLAN, factors: str | Path | Mapping[str, Sequence[str]] | None = None,
    cues: str | CueConflict | None = "cue-conflict", cue_data: DataSource | None = None,
    against: str | Sequence[str] = (), fitting: DataSource | None = None,
    shifts: Mapping[str, DataSource] | None = None,
    captions: str | Path | Captions | None = None, photos: DataSource | None = None,
    choose: Choose | None = None, asked: int = 200, choices: int = 4, baseline: str = "",
    limit: int | None = None, seed: int = 0, out: str | Path | None = None, resume: bool = False,
    device: str = "auto", batch_size: int | Literal["auto"] = "auto", workers: int | None = None,
    download: bool = False,
) -> Holistic:  # fmt: skip
    """Run the evaluation `zero-shot` on objects: models over six aspects of robustness, by factors of their design.

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
        records=EVALUATE_RECORDS, limit=limit, seed=seed, out=out, resume=resume, device=device,
        batch_size=batch_size, workers=workers, download=download, save_examples=0,
    )  # fmt: skip
    specs = [c.model for c in candidates.values() if isinstance(getattr(c, "model", None), str)]
    with call(specs, data, cue_data, fitting, dict(shifts or {}), photos, against):
        dataset = as_dataset(data, download=download)
        comparison = Comparison.of(
            candidates, dataset, VERBS, classes=classes, plan=plan, factors=factors, cues=cues, cue_data=cue_data,
            against=against, fitting=fitting, shifts=shifts or {}, captions=captions, photos=photos, choose=choose,
            asked=asked, choices=choices, baseline=baseline, download=download,
        )  # fmt: skip
        first, method = next(iter(candidates.values())).model, ZeroShot.of(comparison)
        name = first if isinstance(first, str) else "models"
        run = RunDir(options["out"] or default_out(name, dataset.options.spec, "zero-shot"))
        settings = {
            "models": sorted(candidates), "data": dataset.options.spec, "limit": limit, "seed": seed,
            "comparison": comparison.record(options).settings,
        }  # fmt: skip
        with locked(run):
            subject = EvaluationSubject(
                run=run, method=method.info.name, options=options, verbs=VERBS, dataset=dataset, seed=seed,
                indices=subset(dataset, limit, seed).tolist(),
            )  # fmt: skip
            made = run_evaluation(method, subject, settings)
    return Holistic(run, run.read_json(FIGURES), made.page)
