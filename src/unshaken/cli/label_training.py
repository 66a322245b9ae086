"""`unshaken labels train`: training by recipes that withstand wrong labels."""

from __future__ import annotations

from unshaken.cli.options import labels as own
from unshaken.cli.options import training as opt
from unshaken.cli.options.shared import AllowCode, Data, Download, Json
from unshaken.cli.session import Session
from unshaken.cli.training import train
from unshaken.cli.verb import verb

USUAL = "elr"
"""The recipe unless another is asked for."""


@verb
def train_in_spite(
    session: Session,
    data: Data,
    recipe: own.Recipes = None,
    model: own.Architecture = "small-cnn",
    out: opt.Out = None,
    resume: opt.Resume = False,
    epochs: opt.Epochs = None,
    batch_size: opt.BatchSize = None,
    lr: opt.LearningRate = None,
    seed: opt.Seed = 0,
    set_: opt.Set = None,
    limit: opt.Limit = None,
    new_head: opt.NewHead = False,
    device: opt.Device = "auto",
    workers: opt.Workers = None,
    track: opt.Track = None,
    download: Download = False,
    allow_code: AllowCode = None,
    json: Json = False,
) -> int:
    """Train a model on labels of which some are wrong; the same as `unshaken harden` with a recipe for noisy labels.

    Exit codes: 0 success, 2 wrong usage or bad input, 3 finished, but some images were unreadable.
    """
    training = opt.training_options(set_ or [], epochs=epochs, batch_size=batch_size, lr=lr, seed=seed)
    execution = {"device": device, "workers": workers, "download": download, "resume": resume, "track": track}
    execution |= {"limit": limit, "new_head": new_head}
    return train(session, model, data, recipe or [USUAL], out, {**execution, **training}, as_json=json)
