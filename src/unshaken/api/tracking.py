"""Log finished runs to a tracking service: figures with intervals, files, and a registered model whose gates held."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unshaken.core.errors import ParameterError, RunError
from unshaken.core.options import Options
from unshaken.report import Comparisons, GateResult
from unshaken.report.gates.kept import verdict_of
from unshaken.store.config import RunConfig, read_config
from unshaken.store.run_dir import RunDir
from unshaken.store.tracking import Registration, RunTracker, Sink, metrics_of, reason, sink_of

FILES = (
    *("report.html", "report.md", "summary.json", "gates.json", "junit.xml"),
    *("run.json", "harden.json", "curves.parquet"),
)
"""Files of a run directory that are kept with the run, those that it has; its rows and images stay where they are."""


@dataclass(frozen=True, slots=True)
class RunLog:
    """Where a run is logged.

    Args:
        sink: the service.
        registration: of the model; None for none.
    """

    sink: Sink
    registration: Registration | None = None


def open_log(options: Options, model: object) -> RunLog | None:
    """Where the options say that a run is logged; what is wrong is refused before hours are spent.

    Args:
        options: `track`, `register` and `gates` are read.
        model: SPEC, or an object.

    Raises:
        ParameterError: a place, a name or a model that will not do.
        MissingExtra: the service's package is absent.
        RunError: the service does not answer.
    """
    sink = sink_of(options["track"])
    if options["register"] is None:
        return None if sink is None else _answering(RunLog(sink))
    if sink is None:
        raise ParameterError(f"register {options['register']!r} needs a registry of models: give --track URI")
    if not sink.has_registry:
        raise ParameterError(
            f"track {sink.address!r} has no registry of models, so register {options['register']!r} cannot be done: "
            "use MLflow or Weights & Biases"
        )
    if not options["gates"]:
        raise ParameterError(
            f"register {options['register']!r} moves the alias only where gates hold, and there is none: give --gate"
        )
    from unshaken.api.mlflow_model import check_kept  # with it the detectors; most runs register no model

    registration = Registration.parse(options["register"])
    check_kept(model)
    return _answering(RunLog(sink, registration))


def log_run(log: RunLog | None, run: RunDir, summary: Mapping[str, Any], gates: Sequence[GateResult]) -> None:
    """Log a finished run. A service that fails is a warning: the run directory has everything.

    Args:
        log: None for nowhere.
        run: its directory.
        summary: as in `summary.json`.
        gates: what became of each gate; a registered alias is moved only where all held.
    """
    if log is None:
        return
    config, held = read_config(run), all(g.held for g in gates)

    def send(sink: Sink) -> None:
        sink.log_metrics(1, metrics_of(summary))
        sink.log_tags(_tags(run, summary, gates))
        with _files(run) as folder:
            sink.log_files(folder)
        if log.registration is not None:
            from unshaken.api.mlflow_model import write_model

            with tempfile.TemporaryDirectory() as folder_name:
                write_model(Path(folder_name), config.model, **_detectors(config))
                alias = log.registration.alias if held else None
                version = sink.register(log.registration.name, Path(folder_name), alias)
            moved = f"{log.registration.alias} moved" if held else f"{log.registration.alias} left: a gate failed"
            sink.log_tags({"registered": f"{log.registration.name} {version} ({moved})"})

    _log(RunTracker(log.sink, run), parameters_of(config), send)


def log_training(track: str | None, run: RunDir) -> None:
    """Add report and curves of a training run to where its epochs were logged.

    Args:
        track: as for `unshaken.harden`; None for nowhere.
        run: its directory.
    """
    sink = sink_of(track)
    if sink is None:
        return

    def send(found: Sink) -> None:
        with _files(run) as folder:
            if found.has_registry:
                _add_model(folder, run)
            found.log_files(folder)

    _log(RunTracker(sink, run), {}, send)


def log_comparison(track: str | None, name: str, comparisons: Comparisons) -> None:
    """Log a comparison as a run of its own: paired differences with intervals, and its page.

    Args:
        track: see `unshaken.store.tracking.sink_of`; None for nowhere.
        name: of the run there.
        comparisons: of runs.

    Raises:
        RunError: the service does not answer.
    """
    sink = sink_of(track)
    if sink is None:
        return
    from unshaken.report.pages.runs import comparison_page
    from unshaken.report.render.html import render_html
    from unshaken.report.render.markdown import render_markdown

    data, page = comparisons.to_json(), comparison_page(comparisons)
    try:
        first = comparisons.runs[0]
        asked = {f"candidate.{i}": r.candidate for i, r in enumerate(comparisons.runs, 1)}
        sink.begin(name, "", {"baseline": first.baseline, **asked})
        sink.log_metrics(1, metrics_of(data))
        sink.log_tags({f"verdict.{r.candidate_name}": r.verdicts for r in comparisons.runs})
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "compare.html").write_text(render_html(page), encoding="utf-8")
            Path(folder, "compare.md").write_text(render_markdown(page), encoding="utf-8")
            sink.log_files(Path(folder))
        sink.close("FINISHED")
    except sink.failures as error:
        raise RunError(f"track {sink.address!r}: {reason(error)}") from None


def parameters_of(config: RunConfig) -> dict[str, str]:
    """Settings that decide a run, as texts: model, data, plan, seed, fingerprints, versions."""
    fields = (
        *("model", "model_name", "data", "plan_name", "seed", "limit", "eot", "precision", "device", "task"),
        *("model_fingerprint", "data_fingerprint", "labels_version"),
    )
    found = {f: str(v) for f in fields if (v := getattr(config, f)) is not None}
    found["samples"] = str(len(config.ids))
    return found | {f"provenance.{k}": str(v) for k, v in config.provenance.items()}


def _answering(log: RunLog) -> RunLog:
    try:
        log.sink.check()
    except log.sink.failures as error:
        raise RunError(f"track {log.sink.address!r}: {reason(error)}") from None
    return log


def _log(tracker: RunTracker, parameters: Mapping[str, str], send: Any) -> None:
    def whole(sink: Sink) -> None:
        sink_run = tracker.run.root.rstrip("/").rpartition("/")[2] or "run"
        tracker.begin(sink_run, parameters)
        send(sink)
        sink.close("FINISHED")

    tracker.attempt(whole)


_STATES = {"held": "held", "failed": "FAILED", "undecided": "not decided"}


def _tags(run: RunDir, summary: Mapping[str, Any], gates: Sequence[GateResult]) -> dict[str, str]:
    found = {"run": os.path.abspath(run.root) if run.local else str(run)}
    found["gates"] = verdict_of([g.state for g in gates])
    for number, gate in enumerate(gates, 1):
        found[f"gate.{number}"] = f"{_STATES[gate.state]}: {gate.text} ({gate.detail})"
    found |= {f"flag.{f['name']}": f["detail"] for f in summary["flags"]}
    return found | {"bad_samples": str(len(summary["bad_samples"]))}


def _detectors(config: RunConfig) -> dict[str, Any]:
    """Folder and accepted share of the detectors that a run scored with, as arguments of `write_model`."""
    found = next((entry.params for entry in config.plan if entry.method == "screening"), None)
    return {} if found is None else {"detectors": found["folder"], "accept": found["accept"]}


def _add_model(folder: Path, run: RunDir) -> None:
    """The chosen checkpoint of a training run, where it can be kept outside this program."""
    from unshaken.api.mlflow_model import check_kept, write_model

    spec = f"run:{run.path}"
    try:
        check_kept(spec)
    except ParameterError:
        return
    write_model(folder / "model", spec)


@contextmanager
def _files(run: RunDir) -> Iterator[Path]:
    """The files of a run that are kept, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        for name in FILES:
            if run.exists(name):
                Path(folder, name).write_bytes(run.read(name))
        yield Path(folder)
