"""`unshaken labels train`: training by recipes that withstand wrong labels."""

from __future__ import annotations

from typing import Annotated

from unshaken.cli.complete import complete_model, names
from unshaken.cli.options import (
    AllowCode,
    Data,
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
from unshaken.core.options import Option

USUAL = "elr"
"""The recipe unless another is asked for."""


@verb
def train_in_spite(
    session: Session,
    data: Data,
    recipe: Annotated[
        list[str] | None,
        Option(
            f"Training recipe: {', '.join(names('harden/recipes/noisy_labels'))}; others of 'unshaken list harden' "
            "beside it. May be repeated. Default: elr.",
            "NAME[:k=v,...]",
        ),
    ] = None,
    model: Annotated[
        str,
        Option(
            "Architecture with new weights (small, small-cnn, new:torchvision:NAME), or a model to fine-tune.",
            "ARCH|SPEC",
            complete=complete_model,
        ),
    ] = "small-cnn",
    out: Out = None,
    resume: Resume = False,
    epochs: Epochs = None,
    batch_size: StepSize = None,
    lr: LearningRate = None,
    seed: TrainingSeed = 0,
    set_: Set = None,
    limit: TrainingLimit = None,
    new_head: NewHead = False,
    device: TrainingDevice = "auto",
    workers: TrainingWorkers = None,
    track: TrainingTrack = None,
    download: Download = False,
    allow_code: AllowCode = None,
    json: Json = False,
) -> int:
    """Train a model on labels of which some are wrong; the same as `unshaken harden` with a recipe for noisy labels.

    Exit codes: 0 success, 2 wrong usage or bad input, 3 finished, but some images were unreadable.
    """
    training = training_options(set_ or [], epochs=epochs, batch_size=batch_size, lr=lr, seed=seed)
    execution = {"device": device, "workers": workers, "download": download, "resume": resume, "track": track}
    execution |= {"limit": limit, "new_head": new_head}
    return train(session, model, data, recipe or [USUAL], out, {**execution, **training}, as_json=json)
