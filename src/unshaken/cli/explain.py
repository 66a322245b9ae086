"""`unshaken explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from unshaken.cli.complete import complete_methods
from unshaken.cli.names import check_method
from unshaken.cli.options import AllowCode, BatchSize, Device, Download, Engine, Json, Limit, Resume, Seed, Workers
from unshaken.cli.runs import name_bad_samples, show_verdict
from unshaken.cli.session import Session, progress
from unshaken.cli.show import print_json, print_line
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError
from unshaken.core.options import COUNT, EXPLAIN_RECORDS, Argument, Option, OutputFolder

if TYPE_CHECKING:
    from unshaken.api.explain import ExplainResult


@verb(name="explain", first="model data run metric limit out", python="explain")
def explain(
    session: Session,
    names: Annotated[
        list[str],
        Argument(
            "Attribution or analysis and its parameters, e.g. gradcam or smoothgrad:samples=20; "
            "see 'unshaken list explain'.",
            "NAME[:k=v,...]...",
            complete=complete_methods("explain", without="explain/metrics"),
            read=check_method("explain"),
        ),
    ],
    model: Annotated[
        list[str] | None,
        Option("Model to explain. May be repeated for an analysis that compares models. Default: demo.", "SPEC"),
    ] = None,
    data: Annotated[
        str | None, Option("Images to look at; not needed for an analysis of weights alone.", "SPEC")
    ] = None,
    run: Annotated[
        str | None,
        Option(
            "Run of an audit: explain the examples that it kept, before and after, and show them in its report.", "DIR"
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        Option(
            "Metric that judges the maps, beside a random map's. May be repeated.",
            "NAME[:k=v,...]",
            complete=complete_methods("explain/metrics"),
            read=check_method("explain"),
        ),
    ] = None,
    boxes: Annotated[str | None, Option("Parquet or CSV file of the objects' boxes: id, x, y, w, h.", "FILE")] = None,
    masks: Annotated[str | None, Option("Folder of the objects' masks, <id>.png.", "DIR")] = None,
    target: Annotated[
        str, Option("Class that maps explain: predicted, or labelled.", "prediction|label")
    ] = "prediction",
    save_maps: Annotated[
        int, Option("Maps of a method to save as files.", "N|all", (0, COUNT[1]), word=("all", -1))
    ] = 1000,
    limit: Limit = None,
    seed: Seed = 0,
    out: Annotated[
        str | None, OutputFolder("Run directory. Default: runs/ and a name.", "DIR", records=EXPLAIN_RECORDS)
    ] = None,
    resume: Resume = False,
    batch_size: BatchSize = "auto",
    workers: Workers = None,
    engine: Engine = "local",
    device: Device = "auto",
    download: Download = False,
    allow_code: AllowCode = None,
    json: Json = False,
) -> int:
    """Explain decisions by maps of the pixels that count, or analyse units, filters, biases and data geometry.

    Exit codes: 0 success, 2 wrong usage or bad input, 3 finished, but some samples were unreadable. With --run, those
    of unshaken report: 1 a gate of that run failed, 2 one is not decided, or the run has not finished.
    """
    from unshaken import api

    if run is not None:
        others = {"data": data, "metric": metric, "boxes": boxes, "masks": masks, "limit": limit, "out": out}
        return _examples(
            session, run, names, [f"--{name}" for name, value in others.items() if value], model=model, seed=seed,
            batch_size=batch_size, device=device, download=download,
        )  # fmt: skip
    with progress(session):
        result = api.explain(
            model, data, names, metrics=metric or (),
            boxes=boxes, masks=masks, target=target, save_maps=save_maps, limit=limit, seed=seed, out=out,
            resume=resume, batch_size=batch_size, workers=workers, engine=engine, device=device,
            download=download,
        )  # fmt: skip
    if json:
        print_json(result.summary.model_dump(mode="json"))
    else:
        _show(result, quiet=session.quiet)
    return name_bad_samples(result.bad_samples)


def _show(result: ExplainResult, *, quiet: bool) -> None:
    """Print the figures of each method, unless quiet, and where the report is."""
    for name, found in () if quiet else result.summary.found.items():
        print_line(f"{name}: {_figures(found.figures)}{found.forwards:,} forward passes")
        for remark in found.remarks:
            print_line(f"  {remark}")
    print_line(f"report: {result.run}/report.html")


def _examples(
    session: Session, run: str, names: list[str], others: list[str], *, model: list[str] | None, **options: Any
) -> int:
    """Explain the examples that an audit kept."""
    from unshaken.api.explain import explain_audit
    from unshaken.store.run_dir import RunDir

    if others or len(names) > 1 or len(model or ()) > 1:
        what = f"{others[0]} out" if others else "all but one method and one model out"
        raise ParameterError(f"--run explains the examples of that run by one method: leave {what}")
    with progress(session):
        explained = explain_audit(run, names[0], model=model[0] if model else None, **options)
    if not session.quiet:
        print_line(f"maps before and after: {', '.join(explained)}")
    print_line(f"report: {run.rstrip('/')}/report.html")
    return show_verdict(RunDir(run))


def _figures(figures: dict[str, dict[str, Any]]) -> str:
    return "".join(
        f"{name.replace('_', ' ')} {f['value']:.3g} ({_end(f['low'])} to {_end(f['high'])}); "
        for name, f in figures.items()
    )


def _end(value: float | None) -> str:
    return "unbounded" if value is None else f"{value:.3g}"
