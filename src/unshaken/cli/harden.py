"""`unshaken harden`, and `unshaken harden surgery add|subtract|extract`."""

from __future__ import annotations

import typer

from unshaken.cli import surgery
from unshaken.cli.advice import epilog
from unshaken.cli.options import training as opt
from unshaken.cli.options.shared import AllowCode, Download, Json
from unshaken.cli.session import Session
from unshaken.cli.training import train
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError

app = typer.Typer(name="harden", invoke_without_command=True, epilog=epilog("harden"))
app.add_typer(surgery.app, name="surgery")


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

        given = {"--new-head": new_head, "--devices": devices != 1, "--nodes": nodes != 1}
        if unused := [name for name, there in given.items() if there]:
            raise ParameterError(f"{unused[0]} is for a training from --model and --data; a repair does not use it")
        about = {"model": model, "data": data, "recipes": recipe or (), "limit": limit, **training}
        return repair_run(session, from_, out, about, execution, dry_run=dry_run, as_json=json)
    if dry_run:
        raise ParameterError("--dry-run needs --from RUN")
    if model is None or data is None:
        raise ParameterError("give --model and --data (and --recipe), or --from RUN")
    execution |= {"limit": limit, "new_head": new_head, "devices": devices, "nodes": nodes}
    return train(session, model, data, recipe or (), out, {**execution, **training}, as_json=json)
