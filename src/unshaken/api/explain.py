"""`explain`: maps of the pixels that count, and analyses of a network and of what it learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from unshaken.api.explain_maps import MapsOf, MapWork, Truth
from unshaken.api.job import Inputs, default_out, images_a_pass, load_inputs
from unshaken.api.options import Options
from unshaken.core.consent import of_arguments
from unshaken.core.errors import ParameterError, RunError
from unshaken.core.registry import Parameters, parse_method
from unshaken.data import DataSource, subset
from unshaken.data.boxes import BoxTable
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.engine.attribution import Attribution
from unshaken.explain.engine.control import Control
from unshaken.explain.engine.map_figures import agreements, differences
from unshaken.explain.engine.metric import MapMetric
from unshaken.explain.engine.record import RECORD, ExplainRecord, MethodRecord
from unshaken.explain.engine.rows import table_rows
from unshaken.models import as_classifier
from unshaken.report.explain_page import write_explain_report
from unshaken.run import RunDir
from unshaken.run.align import align
from unshaken.run.config import provenance
from unshaken.run.lock import locked
from unshaken.run.tensor_file import TensorFile

CONTROL = "random-map"
"""The map that knows nothing, beside which metrics are read."""
Models = str | nn.Module | Sequence[str | nn.Module]


@dataclass(frozen=True, slots=True)
class ExplainResult:
    """What was found.

    Args:
        run: the directory: `explain.json`, rows, maps and arrays, and a report.
        record: what `explain.json` says.
    """

    run: RunDir
    record: ExplainRecord


@of_arguments
def explain(
    methods: str | Parameters | Sequence[str | Parameters],
    model: Models = "demo",
    data: DataSource | None = "demo",
    *,
    metrics: str | MapMetric | Sequence[str | MapMetric] = (),
    boxes: str | None = None,
    masks: str | None = None,
    explained: str = "prediction",
    keep_maps: int = 1000,
    limit: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    batch_size: int | Literal["auto"] = "auto",
    workers: int | None = None,
    download: bool = False,
) -> ExplainResult:
    """Explain the decisions of a model by maps, or analyse its units, filters, biases and data.

    Args:
        methods: of the room `explain`, `NAME[:k=v,...]` or objects: attributions and analyses.
        model: a SPEC or an object as for `audit`; several for an analysis that compares them.
        data: as for `audit`; None for analyses of weights alone.
        metrics: what judges the maps, `NAME[:k=v,...]`; a random map is then judged beside them.
        boxes: a parquet or CSV file of the objects' boxes, for metrics that need them; see `BoxTable`.
        masks: a folder of the objects' masks, `<id>.png`.
        explained: the class that maps explain: `prediction`, the one predicted, or `label`.
        keep_maps: maps of a method that are kept as files; -1 for all.
        limit: take so many samples: seeded, stratified.
        seed: of all that is drawn.
        out: the run directory; default `runs/` and a name.
        resume: go on with the run that is there; what is finished is not done again.
        device: `auto`, `cpu`, `cuda`, `mps`.
        batch_size: images in one pass at most, or `auto`.
        workers: threads that decode.
        download: whether model and data may be fetched.

    Raises:
        ParameterError: a method, a metric or an option is not known or does not fit.
        ModelError: the model does not have what a method looks at.
        DataError: the data cannot be read or lacks what a method needs.
        RunError: the directory holds another run, or cannot be written.
    """
    options = Options(
        limit=limit, seed=seed, out=out, resume=resume, device=device, batch_size=batch_size, workers=workers,
        save_examples=keep_maps, download=download,
    )  # fmt: skip
    chosen, judges = _named(methods, Attribution | Analysis), _named(metrics, MapMetric)
    if explained not in ("prediction", "label"):
        raise ParameterError(f"explained={explained!r} is not one of prediction, label")
    maps = {name: method for name, method in chosen.items() if isinstance(method, Attribution)}
    analyses = {name: method for name, method in chosen.items() if isinstance(method, Analysis)}
    if judges and not maps:
        raise ParameterError("metrics judge maps: name an attribution, such as gradcam, too")
    if judges and CONTROL not in maps:
        maps |= _named(CONTROL, Attribution)
    models = list(model) if isinstance(model, Sequence) and not isinstance(model, str) else [model]
    if len(models) > 1 and (maps or not all(a.several for a in analyses.values())):
        single = next(name for name, m in chosen.items() if not getattr(m, "several", False))
        raise ParameterError(f"{single} looks at one model and there are {len(models)}: name one")
    run = RunDir(out or default_out(models[0], data, next(iter(chosen))))
    with locked(run):
        subject, inputs = _load(models, data, options, analyses, images=bool(maps))
        settings = {
            "models": [m if isinstance(m, str) else f"<{type(m).__name__}>" for m in models],
            "data": None if subject.dataset is None else subject.dataset.options.spec,
            "data_fingerprint": None if subject.dataset is None else subject.dataset.fingerprint,
            "methods": {n: [m.info.name, m.model_dump(mode="json")] for n, m in chosen.items()},
            "metrics": {n: [m.info.name, m.model_dump(mode="json")] for n, m in judges.items()},
            "boxes": boxes, "masks": masks, "explained": explained, "limit": limit, "seed": seed,
        }  # fmt: skip
        record = _begin(run, settings, resume=resume)
        if maps:
            assert inputs is not None
            truth = Truth(None if boxes is None else BoxTable.read(boxes), masks)
            work = MapWork(run, inputs, subject, judges, truth, explained, keep_maps)
            for name, method in maps.items():
                record.found[name] = _entry(method, "attribution", work.run_method(MapsOf(name, method)))
            _compare(run, record, maps, list(judges))
        for name, analysis in analyses.items():
            if name not in record.found:
                record.found[name] = _entry(analysis, analysis.group, _findings(run, name, analysis, subject))
                record.write(run)
        record.samples, record.classes = len(subject.indices), [] if inputs is None else inputs.class_names
        record.bad_samples = [{"id": i, "reason": why} for i, why in sorted(subject.bad.items())]
        record.provenance, record.finished = provenance(), True
        record.write(run)
        write_explain_report(run)
    return ExplainResult(run, record)


def _named(given: Any, kind: Any) -> dict[str, Any]:
    """Methods under names that are unique: a second one of a method gets a number."""
    found: dict[str, Any] = {}
    for one in [given] if isinstance(given, str | Parameters) else list(given):
        method = parse_method(one, "explain") if isinstance(one, str) else one
        if not isinstance(method, kind):
            name = method.info.name if isinstance(method, Parameters) else repr(method)
            what = (
                "a metric of maps: give it as --metric" if isinstance(method, MapMetric) else "no method of this kind"
            )
            raise ParameterError(f"{name} is {what}")
        name, number = method.info.name, 2
        while name in found:
            name, number = f"{method.info.name}-{number}", number + 1
        found[name] = method
    if kind is not MapMetric and not found:
        raise ParameterError("no method: name one, such as gradcam; 'unshaken list explain' has all")
    return found


def _load(
    models: Sequence[str | nn.Module],
    data: DataSource | None,
    options: Options,
    analyses: Mapping[str, Analysis],
    *,
    images: bool,
) -> tuple[Subject, Inputs | None]:
    """The models, and the samples where a method needs them."""
    needed = frozenset().union(*(a.needs for a in analyses.values()), ("model", "images") if images else ())
    if "images" not in needed:
        loaded = {_name(m, i): as_classifier(m, download=options.download) for i, m in enumerate(models)}
        return Subject(loaded if "model" in needed else {}, seed=options.seed), None
    if data is None:
        lacking = next((n for n, a in analyses.items() if "images" in a.needs), "an attribution")
        raise ParameterError(f"{lacking} looks at images: give data")
    inputs = load_inputs(models[0], data, options)
    alignment = align(
        inputs.dataset, inputs.classifier.classes, model=f"model {inputs.classifier.name!r}", needed="labels" in needed
    )
    inputs = replace(inputs, dataset=alignment.dataset.within(inputs.outputs))
    if "labels" in needed and inputs.dataset.labels is None:
        lacking = next(n for n, a in analyses.items() if "labels" in a.needs)
        raise ParameterError(f"{lacking} needs labels, and data {inputs.dataset.options.spec!r} has none")
    others = {_name(m, i): as_classifier(m, download=options.download) for i, m in enumerate(models[1:], 1)}
    loaded = {_name(models[0], 0): inputs.classifier, **{n: m.to(inputs.device) for n, m in others.items()}}
    chosen = subset(inputs.dataset, options.limit, options.seed).tolist()
    seen = Subject(
        loaded, inputs.dataset, chosen, options.seed, images_a_pass(inputs, options), options.workers, inputs.device
    )
    return seen, inputs


def _name(model: str | nn.Module, place: int) -> str:
    return model if isinstance(model, str) else f"{type(model).__name__}-{place + 1}"


def _findings(run: RunDir, name: str, analysis: Analysis, subject: Subject) -> dict[str, Any]:
    """Let an analysis look, and keep its rows and arrays."""
    for model in subject.models.values():
        model.eval()
    found: Findings = analysis.find(subject)
    if found.rows:
        run.write_rows(table_rows(analysis.table, name, analysis.info.name, found.rows), analysis.table, name, 0)
    if found.arrays:
        run.write_tensors(TensorFile(found.arrays), "arrays", f"{name}.safetensors")
    return {
        "figures": {k: figure.to_json() for k, figure in found.figures.items()},
        "remarks": list(found.remarks), "extra": dict(found.extra), "table": analysis.table,
        "forwards": found.forwards, "backwards": found.backwards,
    }  # fmt: skip


def _compare(run: RunDir, record: ExplainRecord, maps: Mapping[str, Attribution[Any]], metrics: list[str]) -> None:
    """Each method beside the control, and beside each other."""
    for name in maps if CONTROL in maps else []:
        if name != CONTROL:
            beside = differences(run, name, CONTROL, metrics)
            record.found[name].extra["over_control"] = {metric: f.to_json() for metric, f in beside.items()}
    others = [name for name, method in maps.items() if not isinstance(method, Control)]
    record.agreements = [
        {"first": one, "second": other, "figure": f.to_json()} for one, other, f in agreements(run, others)
    ]


def _entry(method: Parameters, group: str, found: dict[str, Any]) -> MethodRecord:
    return MethodRecord(method=method.info.name, params=method.model_dump(mode="json"), group=group, **found)


def _begin(run: RunDir, settings: dict[str, Any], *, resume: bool) -> ExplainRecord:
    """Write the settings down, or compare them with those that are there; the record to go on with."""
    if not run.exists(RECORD):
        record = ExplainRecord(settings=settings)
        record.write(run)
        return record
    if not resume:
        raise RunError(f"{run}: already holds explanations; add --resume or choose another --out")
    record = ExplainRecord.read(run)
    if names := [k for k in settings if record.settings.get(k) != settings[k]]:
        raise RunError(f"{run}: was begun with other settings ({', '.join(names)} differ); choose another --out")
    return record
