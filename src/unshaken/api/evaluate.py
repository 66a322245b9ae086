"""`evaluate`: models of other tasks than plain classification, each judged by a registered evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import nn

from unshaken.api.audit import audit
from unshaken.api.detect import detect
from unshaken.api.explain import explain
from unshaken.api.job import choose_device, default_out, images_a_pass, load_inputs
from unshaken.api.options import check_options
from unshaken.core.consent import of_arguments
from unshaken.core.errors import DataError, ParameterError, RunError, did_you_mean
from unshaken.core.options import EVALUATE_RECORDS, Options
from unshaken.core.package import public
from unshaken.core.registry import as_method
from unshaken.core.trust import NON_FINITE, NOT_FINITE
from unshaken.data import BadSample, DataSource, as_dataset, subset
from unshaken.data.dataset import content_mark
from unshaken.models import fingerprint
from unshaken.models.loaders.load import second_model
from unshaken.report.blocks import Page
from unshaken.report.gates import Gate, check_gates
from unshaken.report.gates.kept import GateResult, KeptGates, begin_gates, read_gates
from unshaken.report.pages.evaluate import EVALUATE
from unshaken.report.render.notebook import render_notebook
from unshaken.run import load_plan
from unshaken.run.plan import prepare
from unshaken.store.lock import locked
from unshaken.store.provenance import provenance
from unshaken.store.run_dir import RunDir
from unshaken.tasks.evaluation import BAD, RECORD, Evaluation, EvaluationRecord, EvaluationSubject, Verbs

OF_OTHERS = ("run.json", "explain.json", "harden.json", "labels.json", "report.html", "rows")
"""What other commands leave in their run directories."""
Models = str | nn.Module | Sequence[str | nn.Module]
IMAGES_A_PASS = 256
"""Images in one pass at most, where no model says more."""


VERBS = Verbs(
    audit=audit, detect=detect, explain=explain, load_plan=load_plan,
    conditions_of=lambda lines: [condition.id for step in prepare(lines) for condition in step.conditions],
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EvaluateResult:
    """A finished run of `evaluate`.

    Args:
        run: the directory: `evaluate.json`, rows, arrays, and a report.
        summary: what `evaluate.json` holds.
        gates: what became of each gate.
        page: what `report.html` shows, as blocks.
    """

    run: RunDir
    summary: dict[str, Any] = field(repr=False)
    gates: list[GateResult]
    page: Page = field(repr=False)

    @property
    def held(self) -> bool:
        """Whether all gates passed."""
        return all(g.held for g in self.gates)

    @property
    def bad_samples(self) -> tuple[BadSample, ...]:
        """Samples that could not be used, with the reason."""
        return tuple(BadSample(one["id"], one["reason"]) for one in self.summary["bad_samples"])

    def _repr_html_(self) -> str:
        return render_notebook(self.page, f"{str(self.run).rstrip('/')}/report.html")


@public("evaluate")
@of_arguments
def evaluate(
    method: str | Evaluation,
    model: Models | None = None,
    data: DataSource | None = None,
    *,
    limit: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    gates: str | Sequence[str] = (),
    device: str = "auto",
    batch_size: int | Literal["auto"] = "auto",
    workers: int | None = None,
    download: bool = False,
) -> EvaluateResult:
    """Evaluate models of another task: few-shot, frozen features and others.

    Args:
        method: of `unshaken list evaluations`, `NAME[:k=v,...]` or an object.
        model: a SPEC or an object as for `audit`; several for an evaluation that compares them; default `demo` where no
            data is named either.
        data: as for `audit`; default `demo` where no model is named either.
        limit: samples of each set at most: a seeded, stratified draw.
        seed: of all that is drawn.
        out: the run directory; default `runs/` and a name.
        resume: go on with the run that is there; what is finished is not done again.
        gates: conditions on figures of the evaluation, such as `accuracy >= 0.9`.
        device: `auto`, `cpu`, `cuda`, `mps`.
        batch_size: images in one pass at most, or `auto`.
        workers: threads that decode.
        download: whether models and data may be fetched.

    Raises:
        ParameterError: the evaluation, a gate or an option is not known or does not fit.
        ModelError: a model does not have what the evaluation measures.
        DataError: the data cannot be read or lacks what the evaluation needs.
        RunError: the directory holds another run, or cannot be written.
    """
    options = check_options(
        records=EVALUATE_RECORDS, limit=limit, seed=seed, out=out, resume=resume,
        gates=(gates,) if isinstance(gates, str) else tuple(gates), device=device, batch_size=batch_size,
        workers=workers, download=download,
    )  # fmt: skip
    evaluation: Evaluation = as_method(method, "tasks")
    check_figures(options["gates"], evaluation)
    models, source = check_inputs(evaluation, model, data)
    place = out or default_out(models[0] if models else "", source or "", evaluation.info.name)
    run = RunDir(place)
    with locked(run):
        subject, settings = load_subject(evaluation, run, models, source, options)
        return run_evaluation(evaluation, subject, settings)


def check_figures(gates: Sequence[str], evaluation: Evaluation) -> None:
    """Refuse a gate on a figure that the evaluation will not have, before hours are spent.

    Raises:
        ParameterError: a gate is not understood, or names none of the evaluation's measures.
    """
    for gate in map(Gate.parse, gates):
        if gate.selection or not any(gate.name == m or gate.name.startswith(f"{m}_") for m in evaluation.measures):
            raise ParameterError(
                f"gate {gate.text!r}: {evaluation.info.name} has no such figure; "
                f"{did_you_mean(gate.name, evaluation.measures)}, alone or followed by _ and what it is of"
            )


def check_inputs(
    evaluation: Evaluation, model: Models | None, data: DataSource | None
) -> tuple[list[str | nn.Module], DataSource | None]:
    """The models and the data that a caller gave, or the embedded ones where neither is given.

    Raises:
        ParameterError: one is missing, or the evaluation has no use for it.
    """
    name, needs = evaluation.info.name, evaluation.needs
    takes_models = bool(needs & {"model", "models"})
    if model is None and data is None:
        model, data = "demo" if takes_models else None, "demo" if "images" in needs else None
    models = [] if model is None else [model] if isinstance(model, str | nn.Module) else list(model)
    if models and not takes_models:
        raise ParameterError(f"{name} takes no model: leave it out")
    if takes_models and not models:
        raise ParameterError(f"{name} judges a model: name one, such as demo")
    if len(models) > 1 and "models" not in needs:
        raise ParameterError(f"{name} looks at one model and there are {len(models)}: name one")
    if data is not None and "images" not in needs:
        raise ParameterError(f"{name} takes no data of this kind: leave it out, and name its own files as parameters")
    if data is None and "images" in needs:
        raise ParameterError(f"{name} looks at images: give data")
    return models, data


def load_subject(
    evaluation: Evaluation, run: RunDir, models: Sequence[str | nn.Module], data: DataSource | None, options: Options
) -> tuple[EvaluationSubject, dict[str, Any]]:
    """Load what an evaluation needs, and say what decides its rows: a run that is resumed must have the same.

    Raises:
        ParameterError: it needs labels, and the data has none.
        ModelError: a model cannot be loaded, or does not take the images.
        DataError: data or a file that a parameter names cannot be read.
    """
    if absent := next((name for name in evaluation.further_files if not Path(name).exists()), None):
        raise DataError(f"{evaluation.info.name}: there is no file {absent!r}: check the path")
    common: dict[str, Any] = {
        "run": run, "method": evaluation.info.name, "given": models, "options": options, "verbs": VERBS,
        "seed": options["seed"],
        "workers": options["workers"], "device": choose_device(options["device"]),
        "unusable": run.read_json(BAD)["samples"] if run.exists(BAD) else {},
    }  # fmt: skip
    settings: dict[str, Any] = {
        "method": [evaluation.info.name, evaluation.model_dump(mode="json")],
        "models": [m if isinstance(m, str) else f"<{type(m).__name__}>" for m in models],
        "data": None, "limit": options["limit"], "seed": options["seed"],
        "further": {
            **{spec: fingerprint(second_model(spec)) for spec in evaluation.further_models},
            **{name: content_mark(Path(name)) for name in evaluation.further_files},
            **{s: as_dataset(s, download=options["download"]).fingerprint for s in evaluation.further_data},
        },
    }  # fmt: skip
    if data is None:
        return EvaluationSubject(**common), settings
    size: int = IMAGES_A_PASS if options["batch_size"] == "auto" else options["batch_size"]
    classifiers = {}
    if "model" in evaluation.needs:
        inputs = load_inputs(models[0], data, options)
        dataset, size, common["device"] = inputs.dataset, images_a_pass(inputs, options), inputs.device
        classifiers[inputs.model] = inputs.classifier.eval()
        settings["model_fingerprints"] = [fingerprint(inputs.classifier)]
    else:
        dataset = as_dataset(data, download=options["download"])
    if "labels" in evaluation.needs and dataset.labels is None:
        raise ParameterError(f"{evaluation.info.name} needs labels, and data {dataset.options.spec!r} has none")
    if "labels" in evaluation.needs and dataset.labels is not None and dataset.labels.ndim > 1:
        raise ParameterError(f"{evaluation.info.name} needs one class an image, and {dataset.options.spec!r} has masks")
    settings |= {
        "data": dataset.options.spec,
        "data_fingerprint": dataset.fingerprint,
        "labels_version": dataset.labels_version,
    }
    chosen = subset(dataset, options["limit"], options["seed"]).tolist()
    return EvaluationSubject(models=classifiers, dataset=dataset, indices=chosen, batch=size, **common), settings


def run_evaluation(evaluation: Evaluation, subject: EvaluationSubject, settings: dict[str, Any]) -> EvaluateResult:
    """Judge a subject in its run directory, which is locked: rows, record, gates and page.

    Args:
        evaluation: with its parameters.
        subject: that it judges.
        settings: what decides the rows.

    Raises:
        RunError: the directory holds another run, or this one without `resume`.
        UnshakenError: what the evaluation raised.
    """
    run, options = subject.run, subject.options
    evaluation.check(subject)
    record, first = _begin(evaluation, run, settings, resume=options["resume"])
    begin_gates(run, evaluation.info.name, options["gates"], None, first=first)
    if not record.finished:
        found = evaluation.judge(subject)
        odd = sum(why == NOT_FINITE for why in subject.bad.values())
        doubts = [f"flag {NON_FINITE.name}: {NON_FINITE.meaning} for {odd} samples, left out"] if odd else []
        record = record.model_copy(
            update={
                "table": "", "figures": {k: figure.to_json() for k, figure in found.figures.items()},
                "remarks": [*doubts, *found.remarks], "extra": dict(found.extra), "answer": list(found.answer),
                "listings": [one.to_json() for one in found.listings], "forwards": found.forwards,
                "backwards": found.backwards, "samples": len(subject.indices),
                "bad_samples": [{"id": i, "reason": why} for i, why in sorted(subject.bad.items())],
                "provenance": provenance(), "finished": True,
            }
        )  # fmt: skip
        record.write(run)
    asked = options["gates"] or read_gates(run).asked
    results = check_gates(asked, {"aggregates": record.figures, "conditions": [], "minimal_norms": [], "notes": {}})
    KeptGates(tuple(results)).write(run, evaluation.info.name)
    return EvaluateResult(run, record.model_dump(mode="json"), results, EVALUATE.write(run))


def _begin(
    evaluation: Evaluation, run: RunDir, settings: dict[str, Any], *, resume: bool
) -> tuple[EvaluationRecord, bool]:
    """Write the settings down, or compare them with those that are there; the record, and whether it is new."""
    if not run.exists(RECORD):
        if other := next((name for name in OF_OTHERS if run.exists(name)), None):
            raise RunError(f"{run}: holds {other!r} of another command; choose another --out")
        record = EvaluationRecord(
            method=evaluation.info.name, params=evaluation.model_dump(mode="json"), title=evaluation.title,
            settings=settings,
        )  # fmt: skip
        record.write(run)
        return record, True
    if not resume:
        raise RunError(f"{run}: already holds an evaluation; add --resume or choose another --out")
    record = EvaluationRecord.read(run)
    if names := [k for k in settings if record.settings.get(k) != settings[k]]:
        raise RunError(f"{run}: was begun with other settings ({', '.join(names)} differ); choose another --out")
    return record, False
