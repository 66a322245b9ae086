"""`unshaken harden`, and `unshaken harden surgery add|subtract|extract`."""

from __future__ import annotations

from typing import Annotated

import typer

from unshaken.cli import surgery
from unshaken.cli.advice import epilog
from unshaken.cli.complete import complete_data, complete_model
from unshaken.cli.options import (
    AllowCode,
    Download,
    Epochs,
    Json,
    LearningRate,
    NewHead,
    Out,
    Resume,
    Set,
    StepSize,
    TrainingDevice,
    TrainingLimit,
    TrainingSeed,
    TrainingTrack,
    TrainingWorkers,
)
from unshaken.cli.session import Session
from unshaken.cli.training import train, training_options
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError
from unshaken.core.options import SHARE, WORKERS, Option

app = typer.Typer(name="harden", invoke_without_command=True, epilog=epilog("harden"))
app.add_typer(surgery.app, name="surgery")


@app.callback(invoke_without_command=True)
@verb
def harden(
    session: Session,
    recipe: Annotated[
        list[str] | None,
        Option(
            "Training recipe, e.g. trades:eps=8/255,beta=6; see 'unshaken list harden'. May be repeated.",
            "NAME[:k=v,...]",
        ),
    ] = None,
    model: Annotated[
        str | None,
        Option(
            "Architecture with new weights (small, small-cnn, new:torchvision:NAME), or a model to fine-tune.",
            "ARCH|SPEC",
            complete=complete_model,
        ),
    ] = None,
    data: Annotated[
        str | None,
        Option(
            "Labelled training images; part of them is held out for model selection.", "SPEC", complete=complete_data
        ),
    ] = None,
    from_: Annotated[
        str | None,
        Option("Repair the weaknesses that the audit in this run directory found: plan, train, audit again.", "RUN"),
    ] = None,
    out: Out = None,
    resume: Resume = False,
    dry_run: Annotated[bool, Option("Only print the repair plan and its cost (with --from).")] = False,
    epochs: Epochs = None,
    batch_size: StepSize = None,
    lr: LearningRate = None,
    seed: TrainingSeed = 0,
    set_: Set = None,
    limit: TrainingLimit = None,
    max_clean_loss: Annotated[
        float | None,
        Option(
            "Largest loss of held-out accuracy, against the starting weights, that a kept checkpoint may have. "
            "Default: 0.2 with --from, else none.",
            "SHARE",
            SHARE,
            panel="Training",
        ),
    ] = None,
    new_head: NewHead = False,
    device: TrainingDevice = "auto",
    devices: Annotated[int, Option("Number of processes on this machine.", "N", WORKERS, panel="Execution")] = 1,
    nodes: Annotated[int, Option("Number of machines (start with torchrun).", "N", WORKERS, panel="Execution")] = 1,
    workers: TrainingWorkers = None,
    track: TrainingTrack = None,
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
    training = training_options(
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
