"""`unshaken harden`, and `unshaken harden surgery add|subtract|extract`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from unshaken.cli import surgery
from unshaken.cli.advice import epilog
from unshaken.cli.options import training as opt
from unshaken.cli.options.shared import AllowCode, Download, Json
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import print_json, print_line, print_page
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError

if TYPE_CHECKING:
    from unshaken.harden.engine.run import HardenResult

app = typer.Typer(name="harden", invoke_without_command=True, epilog=epilog("harden"))
app.add_typer(surgery.app, name="surgery")

BAD_SAMPLES = 3


@app.callback(invoke_without_command=True)
@verb
def harden(
    session: Session,
    recipe: opt.Recipe = None,
    model: opt.StartModel = None,
    data: opt.TrainingData = None,
    from_: opt.From = None,
    out: opt.Out = None,
    resume: opt.Resume = False,
    dry_run: opt.DryRun = False,
    epochs: opt.Epochs = None,
    batch_size: opt.BatchSize = None,
    lr: opt.LearningRate = None,
    seed: opt.Seed = 0,
    set_: opt.Set = None,
    limit: opt.Limit = None,
    max_clean_loss: opt.MaxCleanLoss = None,
    new_head: opt.NewHead = False,
    device: opt.Device = "auto",
    devices: opt.Devices = 1,
    nodes: opt.Nodes = 1,
    workers: opt.Workers = None,
    track: opt.Track = None,
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
    training = opt.training_options(
        set_ or [], epochs=epochs, batch_size=batch_size, lr=lr, max_clean_loss=max_clean_loss, seed=seed
    )
    execution = {"device": device, "workers": workers, "download": download, "resume": resume, "track": track}
    if from_ is not None:
        from unshaken.cli.repair import repair_run

        about = {"model": model, "data": data, "recipes": recipe or (), "limit": limit, **training}
        return repair_run(session, from_, out, about, execution, dry_run=dry_run, as_json=json)
    if dry_run:
        raise ParameterError("--dry-run needs --from RUN")
    if model is None or data is None:
        raise ParameterError("give --model and --data (and --recipe), or --from RUN")
    execution |= {"limit": limit, "new_head": new_head, "devices": devices, "nodes": nodes}
    return _train(session, model, data, recipe or (), out, {**execution, **training}, as_json=json)


def _train(
    session: Session,
    model: str,
    data: str,
    recipes: Sequence[str],
    out: str | None,
    options: dict[str, Any],
    *,
    as_json: bool,
) -> int:
    from unshaken import api

    folder = out or api.default_out(model, data, "harden")
    session.makes_run(folder, given=out is not None)
    with progress(session):
        done = api.harden(model, data, recipes, out=folder, **options)
    return _show_result(done, session, as_json=as_json)


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
