"""`explain` and `explain_audit`: maps and analyses of a model's decisions, in this process or in several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import nn

from unshaken.api.explain_inputs import CONTROL, ExplainInputs, Request, load
from unshaken.api.explain_maps import SHARD, MapsOf, MapWork
from unshaken.api.job import choose_device, default_out
from unshaken.api.options import check_options
from unshaken.core.consent import of_arguments
from unshaken.core.errors import RunError
from unshaken.core.numbers import shorten
from unshaken.core.options import EXPLAIN_RECORDS
from unshaken.core.package import public
from unshaken.core.progress import track
from unshaken.core.registry import Parameters
from unshaken.core.trust import NON_FINITE, NOT_FINITE
from unshaken.data import BadSample, DataSource
from unshaken.explain.engine.analysis import Analysis, Findings, Subject
from unshaken.explain.engine.attribution import Attribution, Control
from unshaken.explain.engine.before_after import explain_examples
from unshaken.explain.engine.map_figures import agreements, differences
from unshaken.explain.engine.metric import MapMetric
from unshaken.explain.engine.rows import RECORD, ExplainRecord, MethodRecord, table_rows
from unshaken.models import as_classifier, fingerprint
from unshaken.report.pages.explain import EXPLAIN
from unshaken.report.render.notebook import render_notebook
from unshaken.report.write import write_report
from unshaken.run import read_config
from unshaken.run.engine import LOCAL, read_engine
from unshaken.run.pool import do_all, open_pool
from unshaken.run.process_pool import Unit, Work
from unshaken.store.lock import Lock, locked
from unshaken.store.provenance import provenance
from unshaken.store.run_dir import RunDir, consistent
from unshaken.store.tensor_file import TensorFile


def map_work(run: RunDir, request: Request, loaded: ExplainInputs) -> MapWork | None:
    """Prepare what the maps of a request share; None where it asks for none.

    Args:
        run: its directory.
        request: what was asked.
        loaded: models and samples.
    """
    if not request.maps or loaded.inputs is None:
        return None
    kept = request.options["save_examples"]
    return MapWork(run, loaded.inputs, loaded.subject, request.metrics, loaded.truth, request.target, kept)


def make_maps(work: MapWork, request: Request, settings: dict[str, Any], lock: Lock) -> None:
    """Let the processes of an engine make all maps that are not there yet.

    Args:
        work: that each process makes anew.
        request: what was asked; its engine is not this process.
        settings: what decides the rows.
        lock: renewed now and then.

    Raises:
        UnshakenError: what a process raised.
    """
    work.check()
    maps = [MapsOf(name, method) for name, method in request.maps.items()]
    left = [(one.name, shard) for shard in range(work.shards) for one in maps if not work.is_whole(one, shard)]
    done = sum(work.samples(shard) for shard in range(work.shards)) * len(maps)
    engine, remake = read_engine(request.options["engine"]), partial(shards_of, work.run, request, settings)
    if not left:
        return
    with (
        track(f"explain on {engine}", done) as task,
        open_pool(engine, work.run, remake, device=work.inputs.device, name_unit=partial(name_maps, work)) as pool,
    ):
        task.advance(done - sum(work.samples(shard) for _, shard in left))

        def finished(unit: Unit | None) -> None:
            lock.renew()
            if isinstance(unit, tuple):
                task.advance(work.samples(unit[1]), note=unit[0])

        do_all(pool, left, finished)


def name_maps(work: MapWork, unit: Unit) -> str:
    """A unit of `shards_of` in words: its method, its shard, and the samples of it.

    Args:
        work: all maps.
        unit: of the work.
    """
    name, shard = unit if isinstance(unit, tuple) else ("", 0)
    indices = work.subject.indices[shard * SHARD : (shard + 1) * SHARD]
    first, last = (shorten(work.inputs.dataset.ids[i]) for i in (indices[0], indices[-1]))
    return f"the maps of {name}, shard {shard} ({len(indices)} samples, {first} to {last})"


def shards_of(run: RunDir, request: Request, settings: dict[str, Any]) -> Work:
    """A request made anew in another process: a function that makes the maps of one method and shard.

    Args:
        run: its directory.
        request: what was asked.
        settings: what decides the rows, as the first process found it.

    Raises:
        RunError: they are others here, such as where the data has changed.
    """
    request = replace(request, maps=dict(request.maps))
    loaded = load(request)
    here = loaded.settings(request)
    if names := [name for name in settings if settings[name] != here[name]]:
        raise RunError(f"{run}: a process finds other settings ({', '.join(names)} differ); start a new run")
    work = map_work(run, request, loaded)

    def make(unit: Unit) -> None:
        if work is None or not isinstance(unit, tuple):
            raise RunError(f"{run}: {unit!r} is no shard of maps")
        name, shard = unit
        work.run_shard(MapsOf(name, request.maps[name]), shard)

    return make


OF_OTHERS = ("run.json", "harden.json", "labels.json", "report.html", "rows")
"""What other commands leave in their run directories."""
Models = str | nn.Module | Sequence[str | nn.Module]


@dataclass(frozen=True, slots=True)
class ExplainResult:
    """A finished run of `explain`.

    Args:
        run: the directory: `explain.json`, rows, maps and arrays, and a report.
        summary: what `explain.json` says.
    """

    run: RunDir
    summary: ExplainRecord = field(repr=False)

    @property
    def bad_samples(self) -> tuple[BadSample, ...]:
        """Samples that could not be used, with the reason."""
        return tuple(BadSample(one["id"], one["reason"]) for one in self.summary.bad_samples)

    def _repr_html_(self) -> str:
        return render_notebook(EXPLAIN.page_of(self.run), f"{str(self.run).rstrip('/')}/report.html")


@public("explain")
@of_arguments
def explain(
    model: Models | None = None,
    data: DataSource | None = None,
    methods: str | Parameters | Sequence[str | Parameters] = "gradcam",
    *,
    metrics: str | MapMetric | Sequence[str | MapMetric] = (),
    boxes: str | None = None,
    masks: str | None = None,
    target: str = "prediction",
    save_maps: int = 1000,
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
        model: a SPEC or an object as for `audit`; several for an analysis that compares them; default `demo`.
        data: as for `audit`; needed but for analyses of weights alone; default `demo` where no model is named.
        methods: of the room `explain`, `NAME[:k=v,...]` or objects: attributions and analyses.
        metrics: what judges the maps, `NAME[:k=v,...]`; a random map is then judged beside them.
        boxes: a parquet or CSV file of the objects' boxes, for metrics that need them; see `BoxTable`.
        masks: a folder of the objects' masks, `<id>.png`.
        target: the class that maps explain: `prediction`, the one predicted, or `label`.
        save_maps: maps of a method that are saved as files; -1 for all.
        limit: maximum number of samples: a seeded, stratified draw.
        seed: of all that is drawn.
        out: the run directory; default `runs/` and a name.
        resume: go on with the run that is there; what is finished is not done again.
        device: `auto`, `cpu`, `cuda`, `mps`.
        batch_size: images in one pass at most, or `auto`.
        workers: threads that decode.
        engine: who makes maps: `local`, this process; `local:N`, N processes of this machine; `ray`, the workers of a
            cluster, each with one processor or what `ray:cpus=C,gpus=G` says. Analyses are made by this process.
        download: whether model and data may be fetched.

    Raises:
        ParameterError: a method, a metric or an option is not known or does not fit.
        ModelError: the model does not have what a method looks at.
        DataError: the data cannot be read or lacks what a method needs.
        RunError: the directory holds another run, or cannot be written.
    """
    options = check_options(
        records=EXPLAIN_RECORDS,
        limit=limit, seed=seed, out=out, resume=resume, device=device, batch_size=batch_size, workers=workers,
        save_examples=save_maps, engine=engine, download=download,
    )  # fmt: skip
    request = Request.of(model, data, methods, metrics, boxes=boxes, masks=masks, target=target, options=options)
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
            with consistent(run):
                _compare(run, record, request.maps, list(request.metrics))
        for name, analysis in request.analyses.items():
            if name not in record.found:
                record.found[name] = _entry(analysis, analysis.group, _findings(run, name, analysis, loaded.subject))
                record.write(run)
        record.samples, record.classes = len(loaded.subject.indices), loaded.class_names
        record.remarks = list(loaded.remarks)
        record.bad_samples = [{"id": i, "reason": why} for i, why in sorted(loaded.subject.bad.items())]
        record.provenance, record.finished = provenance(), True
        record.write(run)
        EXPLAIN.write(run)
    return ExplainResult(run, record)


def _findings(run: RunDir, name: str, analysis: Analysis, subject: Subject) -> dict[str, Any]:
    """Run an analysis, and write its rows and arrays."""
    for model in subject.models.values():
        model.eval()
    own = replace(subject)  # with bad samples of its own
    found: Findings = analysis.find(own)
    subject.bad.update(own.bad)
    odd = sum(why == NOT_FINITE for why in own.bad.values())
    doubt = f"flag {NON_FINITE.name}: {NON_FINITE.meaning} for {odd} of {len(subject.indices)} samples, left out"
    if found.rows:
        run.write_rows(table_rows(analysis.table, name, analysis.info.name, found.rows), analysis.table, name, 0)
    if found.arrays:
        run.write_tensors(TensorFile(found.arrays), "arrays", f"{name}.safetensors")
    return {
        "figures": {k: figure.to_json() for k, figure in found.figures.items()},
        "remarks": [*([doubt] if odd else []), *found.remarks], "extra": dict(found.extra), "table": analysis.table,
        "forwards": found.forwards, "backwards": found.backwards,
    }  # fmt: skip


def _compare(run: RunDir, record: ExplainRecord, maps: Mapping[str, Attribution[Any]], metrics: list[str]) -> None:
    """Each method beside the control, and beside each other."""
    for name in maps if CONTROL in maps else []:
        if name != CONTROL:
            over_control = differences(run, name, CONTROL, metrics)
            record.found[name].extra["over_control"] = {metric: f.to_json() for metric, f in over_control.items()}
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


@public()
@of_arguments
def explain_audit(
    run: str | Path,
    method: str | Attribution[Any] = "gradcam",
    *,
    model: str | nn.Module | None = None,
    conditions: Sequence[str] = (),
    seed: int = 0,
    batch_size: int | Literal["auto"] = "auto",
    device: str = "auto",
    download: bool = False,
) -> list[str]:
    """Make maps of the examples that an audit kept, unchanged and changed, and show them in its report.

    Args:
        run: directory of an audit, or of another command with a plan.
        method: an attribution, `NAME[:k=v,...]` or an object.
        model: the one that was audited; None for the SPEC of the run.
        conditions: those whose examples are explained; empty for all.
        seed: of methods that draw.
        batch_size: images in one pass at most; `auto` is 64.
        device: `auto`, `cpu`, `cuda`, `mps`.
        download: whether the model may be fetched.

    Returns:
        The conditions whose examples were explained.

    Raises:
        RunError: the directory holds no such run, no examples, or another model's.
        ModelError: the model does not have what the method needs.
    """
    directory = RunDir(run)
    config = read_config(directory)
    classifier = as_classifier(config.model if model is None else model, download=download).eval()
    if fingerprint(classifier) != config.model_fingerprint:
        raise RunError(
            f"{directory}: its examples are those of another model than {classifier.name!r} is now: give the one that "
            "was audited"
        )
    with locked(directory):
        explained = explain_examples(
            directory,
            classifier.to(choose_device(device)),
            method,
            conditions=conditions,
            seed=seed,
            limit=64 if batch_size == "auto" else batch_size,
        )
        write_report(directory)
    return explained
