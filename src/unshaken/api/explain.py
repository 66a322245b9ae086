"""`explain`: maps of the pixels that count, and analyses of a network and of what it learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from unshaken.api.explain_inputs import CONTROL, Request, load
from unshaken.api.explain_maps import MapsOf
from unshaken.api.explain_processes import make_maps, map_work
from unshaken.api.job import default_out
from unshaken.api.options import check_options
from unshaken.core.consent import of_arguments
from unshaken.core.errors import RunError
from unshaken.core.registry import Parameters
from unshaken.data import DataSource
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.engine.attribution import Attribution
from unshaken.explain.engine.control import Control
from unshaken.explain.engine.map_figures import agreements, differences
from unshaken.explain.engine.metric import MapMetric
from unshaken.explain.engine.record import RECORD, ExplainRecord, MethodRecord
from unshaken.explain.engine.rows import table_rows
from unshaken.report.explain_page import explain_page, write_explain_report
from unshaken.report.render.notebook import render_notebook
from unshaken.run.engine import LOCAL, read_engine
from unshaken.run.provenance import provenance
from unshaken.store.lock import locked
from unshaken.store.run_dir import RunDir
from unshaken.store.tensor_file import TensorFile

OF_OTHERS = ("run.json", "harden.json", "labels.json", "report.html", "rows")
"""What other commands leave in their run directories."""
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

    def _repr_html_(self) -> str:
        return render_notebook(explain_page(self.run), f"{str(self.run).rstrip('/')}/report.html")


@of_arguments
def explain(
    methods: str | Parameters | Sequence[str | Parameters],
    model: Models | None = None,
    data: DataSource | None = None,
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
    engine: str = "local",
    download: bool = False,
) -> ExplainResult:
    """Explain the decisions of a model by maps, or analyse its units, filters, biases and data.

    Args:
        methods: of the room `explain`, `NAME[:k=v,...]` or objects: attributions and analyses.
        model: a SPEC or an object as for `audit`; several for an analysis that compares them; default `demo`.
        data: as for `audit`; needed but for analyses of weights alone; default `demo` where no model is named.
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
        engine: who makes maps: `local`, this process; `local:N`, N processes of this machine; `ray`, the workers of a
            cluster. Analyses are made by this process.
        download: whether model and data may be fetched.

    Raises:
        ParameterError: a method, a metric or an option is not known or does not fit.
        ModelError: the model does not have what a method looks at.
        DataError: the data cannot be read or lacks what a method needs.
        RunError: the directory holds another run, or cannot be written.
    """
    options = check_options(
        limit=limit, seed=seed, out=out, resume=resume, device=device, batch_size=batch_size, workers=workers,
        save_examples=keep_maps, engine=engine, download=download,
    )  # fmt: skip
    request = Request.of(methods, model, data, metrics, boxes=boxes, masks=masks, explained=explained, options=options)
    run = RunDir(out or default_out(request.models[0], request.data, next(iter({**request.analyses, **request.maps}))))
    with locked(run) as lock:
        loaded = load(request)
        record = _begin(run, loaded.settings(request), resume=resume)
        work = map_work(run, request, loaded)
        if work is not None:
            if read_engine(engine) != LOCAL:
                make_maps(work, request, loaded.settings(request), lock)
            for name, method in request.maps.items():
                record.found[name] = _entry(method, "attribution", work.run_method(MapsOf(name, method)))
            _compare(run, record, request.maps, list(request.metrics))
        for name, analysis in request.analyses.items():
            if name not in record.found:
                record.found[name] = _entry(analysis, analysis.group, _findings(run, name, analysis, loaded.subject))
                record.write(run)
        record.samples, record.classes = len(loaded.subject.indices), loaded.class_names
        record.bad_samples = [{"id": i, "reason": why} for i, why in sorted(loaded.subject.bad.items())]
        record.provenance, record.finished = provenance(), True
        record.write(run)
        write_explain_report(run)
    return ExplainResult(run, record)


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
        if other := next((name for name in OF_OTHERS if run.exists(name)), None):
            raise RunError(f"{run}: holds {other!r} of another command; choose another --out")
        record = ExplainRecord(settings=settings)
        record.write(run)
        return record
    if not resume:
        raise RunError(f"{run}: already holds explanations; add --resume or choose another --out")
    record = ExplainRecord.read(run)
    if names := [k for k in settings if record.settings.get(k) != settings[k]]:
        raise RunError(f"{run}: was begun with other settings ({', '.join(names)} differ); choose another --out")
    return record
