"""Options of `unshaken harden`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import typer

from unshaken.cli.complete import complete_data, complete_model
from unshaken.cli.values import LIMIT, SEED, WORKERS
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import LARGEST_BATCH

_training = partial(typer.Option, rich_help_panel="Training")
_execution = partial(typer.Option, rich_help_panel="Execution")

Recipe = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[:k=v,...]",
        help="Training recipe, e.g. trades:eps=8/255,beta=6; see 'unshaken list harden'. May be repeated.",
        show_default=False,
    ),
]
StartModel = Annotated[
    str | None,
    typer.Option(
        metavar="ARCH|SPEC",
        help="Architecture with new weights (small, small-cnn, new:torchvision:NAME), or a model to fine-tune.",
        autocompletion=complete_model,
        show_default=False,
    ),
]
TrainingData = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help="Labelled training images; part of them is held out for model selection.",
        autocompletion=complete_data,
        show_default=False,
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="RUN",
        help="Repair the weaknesses that the audit in this run directory found: plan, train, audit again.",
        show_default=False,
    ),
]
Out = Annotated[
    str | None, typer.Option(metavar="DIR", help="Run directory. Default: a new folder in runs/.", show_default=False)
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume the run in --out.", show_default=False)]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Only print the repair plan and its cost (with --from).", show_default=False),
]
Epochs = Annotated[
    int | None,
    _training(metavar="N", min=1, max=1_000_000, help="Number of epochs. Default: 10.", show_default=False),
]
BatchSize = Annotated[
    int | None,
    _training(
        metavar="N", min=1, max=LARGEST_BATCH, help="Number of images per step. Default: 128.", show_default=False
    ),
]
LearningRate = Annotated[
    float | None,
    _training(metavar="RATE", min=0, max=1e6, help="Peak learning rate. Default: 0.1.", show_default=False),
]
Seed = Annotated[int, _training(metavar="S", **SEED, help="Random seed.")]
Set = Annotated[
    list[str] | None,
    _training(
        "--set",
        metavar="K=V",
        help="Another training option, e.g. schedule=step or inner_precision=bf16. May be repeated.",
        show_default=False,
    ),
]
Limit = Annotated[int | None, _execution(metavar="N", **LIMIT, help="Maximum number of images.", show_default=False)]
MaxCleanLoss = Annotated[
    float | None,
    _training(
        metavar="SHARE",
        min=0,
        max=1,
        help="Largest loss of held-out accuracy, against the starting weights, that a kept checkpoint may have. "
        "Default: 0.2 with --from, else none.",
        show_default=False,
    ),
]
NewHead = Annotated[
    bool,
    _execution("--new-head", help="Replace the last layer when the data has other classes.", show_default=False),
]
Device = Annotated[str, _execution(metavar="auto|cpu|cuda|mps", help="Device to train on.")]
Devices = Annotated[int, _execution(metavar="N", **WORKERS, help="Number of processes on this machine.")]
Nodes = Annotated[int, _execution(metavar="N", **WORKERS, help="Number of machines (start with torchrun).")]
Workers = Annotated[
    int | None,
    _execution(metavar="N", **WORKERS, help="Number of threads that decode images.", show_default=False),
]
Track = Annotated[
    str | None,
    _execution(
        metavar="URI",
        help="Log each epoch to MLflow (a folder or tracking URI), to wandb:PROJECT, or to tensorboard:DIR.",
        show_default=False,
    ),
]


def training_options(settings: Sequence[str], *, seed: int, **options: float | None) -> dict[str, Any]:
    """Collect the options of the training loop, as keyword arguments of `unshaken.harden`.

    Args:
        settings: the values of `--set`, each `K=V`; they stay text.
        seed: of `--seed`.
        options: those with an option of their own; None where it was not given.

    Raises:
        ParameterError: a setting is not of the form `K=V`, no option of the training loop, or given twice.
    """
    given, named = _settings(settings), {key: value for key, value in options.items() if value is not None}
    for key in given:
        if key in named:
            raise ParameterError(f"{key!r} is given twice, as --{key.replace('_', '-')} and as --set: give it once")
    return {**named, "seed": seed, **given}


def _settings(texts: Sequence[str]) -> dict[str, str]:
    """`K=V` as a dict; the values stay text."""
    from unshaken.harden.engine.training import Training

    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ParameterError(f"--set {text!r} is not of the form K=V, such as schedule=step")
        if key in found:
            raise ParameterError(f"--set {key!r} is given twice: give it once")
        if key not in Training.model_fields:
            near = did_you_mean(key, Training.model_fields)
            raise ParameterError(f"--set {text!r}: there is no training option {key!r}; {near}")
        found[key] = value.strip()
    return found
