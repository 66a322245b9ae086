"""`unshaken harden`, and `unshaken harden surgery add|subtract|extract`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unshaken.cli import surgery
from unshaken.cli.advice import epilog
from unshaken.cli.complete import complete_data, complete_model
from unshaken.cli.options import AllowCode, Download, Json
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import print_json, print_line, print_page
from unshaken.cli.values import LIMIT, SEED, WORKERS
from unshaken.cli.verb import verb
from unshaken.core.numbers import LARGEST_BATCH

if TYPE_CHECKING:
    from unshaken.harden.engine.run import HardenResult

app = typer.Typer(name="harden", invoke_without_command=True, epilog=epilog("harden"))
app.add_typer(surgery.app, name="surgery")

BAD_SAMPLES = 3
_LOOP, _WHERE = "Training", "Execution"


@app.callback(invoke_without_command=True)
@verb
def harden(
    session: Session,
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:k=v,...]",
            help="Training recipe, e.g. trades:eps=8/255,beta=6; see 'unshaken list harden'. May be repeated.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="ARCH|SPEC",
            help="Architecture with new weights (small, small-cnn, new:torchvision:NAME), or a model to fine-tune.",
            autocompletion=complete_model,
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Labelled training images; part of them is held out for model selection.",
            autocompletion=complete_data,
            show_default=False,
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Repair the weaknesses that the audit in this run directory found: plan, train, audit again.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Run directory. Default: a new folder in runs/.", show_default=False),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in --out.", show_default=False)] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only print the repair plan and its cost (with --from).", show_default=False),
    ] = False,
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=1_000_000,
            help="Number of epochs. Default: 10.",
            rich_help_panel=_LOOP,
            show_default=False,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=LARGEST_BATCH,
            help="Number of images per step. Default: 128.",
            rich_help_panel=_LOOP,
            show_default=False,
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            min=0,
            max=1e6,
            help="Peak learning rate. Default: 0.1.",
            rich_help_panel=_LOOP,
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", **SEED, help="Random seed.", rich_help_panel=_LOOP)] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="K=V",
            help="Another training option, e.g. schedule=step or inner_precision=bf16. May be repeated.",
            rich_help_panel=_LOOP,
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N", **LIMIT, help="Maximum number of images.", rich_help_panel=_WHERE, show_default=False
        ),
    ] = None,
    max_clean_loss: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Largest loss of held-out accuracy, against the starting weights, that a kept checkpoint may have. "
            "Default: 0.2 with --from, else none.",
            rich_help_panel=_LOOP,
            show_default=False,
        ),
    ] = None,
    new_head: Annotated[
        bool,
        typer.Option(
            "--new-head",
            help="Replace the last layer when the data has other classes.",
            rich_help_panel=_WHERE,
            show_default=False,
        ),
    ] = False,
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda|mps", help="Device to train on.", rich_help_panel=_WHERE)
    ] = "auto",
    devices: Annotated[
        int, typer.Option(metavar="N", **WORKERS, help="Number of processes on this machine.", rich_help_panel=_WHERE)
    ] = 1,
    nodes: Annotated[
        int,
        typer.Option(metavar="N", **WORKERS, help="Number of machines (start with torchrun).", rich_help_panel=_WHERE),
    ] = 1,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            **WORKERS,
            help="Number of threads that decode images.",
            rich_help_panel=_WHERE,
            show_default=False,
        ),
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="Log each epoch to MLflow (a folder or tracking URI) or to TensorBoard (tensorboard:DIR).",
            rich_help_panel=_WHERE,
            show_default=False,
        ),
    ] = None,
    download: Download = False,
    allow_code: AllowCode = None,
    json: Json = False,
) -> int:
    """Train a more robust model, by recipes of your choice or by those that an audit suggests.

    Exit codes: 0 success, 1 no repair was kept (with --from), 2 wrong usage or bad input, 3 finished, but some images
    were unreadable.
    """
    if session.subcommand:
        return 0
    from unshaken import api
    from unshaken.core.errors import ParameterError

    options = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "max_clean_loss": max_clean_loss}
    loop = {**options, "seed": seed, **_settings(set_ or [])}
    given = [k for k in _settings(set_ or []) if options.get(k) is not None]
    if given:
        raise ParameterError(
            f"{given[0]!r} is given twice, as --{given[0].replace('_', '-')} and as --set: give it once"
        )
    training = {k: v for k, v in loop.items() if v is not None}
    where = {"device": device, "devices": devices, "nodes": nodes, "workers": workers, "download": download}
    where["track"] = track
    chosen: dict[str, Any] = {"out": out, "resume": resume, "limit": limit, "new_head": new_head, **where, **training}
    if from_ is not None:
        from unshaken.cli.repair import repair_run

        about = {"model": model, "data": data, "recipes": recipe or (), "limit": limit, **training}
        place = {"device": device, "workers": workers, "download": download, "resume": resume, "track": track}
        return repair_run(session, from_, out, about, place, dry_run=dry_run, as_json=json)
    if dry_run:
        raise ParameterError("--dry-run needs --from RUN")
    if model is None or data is None:
        raise ParameterError("give --model and --data (and --recipe), or --from RUN")
    chosen["out"] = out or api.default_out(model, data, "harden")
    session.makes_run(chosen["out"], given=out is not None)
    with progress(session):
        done = api.harden(model, data, recipe or (), **chosen)
    return _show_result(done, session, as_json=json)


def _settings(given: list[str]) -> dict[str, Any]:
    """`K=V` as a dict; the values stay text."""
    from unshaken.core.errors import ParameterError, did_you_mean
    from unshaken.harden.engine.training import Training

    found: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ParameterError(f"--set {text!r} is not of the form K=V, such as schedule=step")
        if key.strip() in found:
            raise ParameterError(f"--set {key.strip()!r} is given twice: give it once")
        if key.strip() not in Training.model_fields:
            near = did_you_mean(key.strip(), Training.model_fields)
            raise ParameterError(f"--set {text!r}: there is no training option {key.strip()!r}; {near}")
        found[key.strip()] = value.strip()
    return found


def _show_result(done: HardenResult, session: Session, *, as_json: bool) -> int:
    """Show what came out, and choose the exit code."""
    from unshaken.report.read.training import read_training
    from unshaken.report.render.terminal import warnings
    from unshaken.report.sections.harden import training_page

    result = done.result
    if not result:  # the first of several processes tells
        return 0
    if as_json:
        print_json(
            {"run": str(done.run), **result, "bad_samples": [{"id": k, "reason": v} for k, v in done.bad.items()]}
        )
        return BAD_SAMPLES if done.bad else 0
    page = training_page(read_training(done.run))
    if not session.quiet:
        print_page(page)
    else:
        for line in warnings(page):
            typer.echo(line, err=True)
    for name, reason in list(done.bad.items())[:3]:
        print_line(f"not used: {name}: {reason}")
    print_line(f"report: {str(done.run).rstrip('/')}/report.html")
    print_line(f"model: {shlex.quote(done.spec or f'run:{done.run}')}")
    return BAD_SAMPLES if done.bad else 0
