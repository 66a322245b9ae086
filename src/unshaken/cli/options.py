"""Options that several commands share; one that a single command has stands in that command's signature."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import typer

from unshaken.cli.complete import complete_data, complete_model
from unshaken.cli.names import check_data, check_engine, check_gate, check_model, check_start
from unshaken.core.consent import is_code
from unshaken.core.numbers import shorten
from unshaken.core.options import (
    BATCH,
    LIMIT,
    SEED,
    SHARE,
    SQLITE,
    TRAINING_RECORDS,
    WORKERS,
    Argument,
    Option,
    OutputFolder,
    UpdatedFile,
    declared,
)

RUN = {name: option for name, (_, option) in declared().items()}
"""Options of runs by name, for commands that have a few of them."""
OWN = {name: replace(option, panel=None) for name, option in RUN.items()}
"""The same outside the panels of the help of runs."""

Json = Annotated[bool, Option("Print JSON instead of tables.")]
QUIET = Option("Show no progress bars and no tables, only warnings.", flags="--quiet,-q")
DEBUG = Option("Show the traceback of an error.")
Data = Annotated[
    str,
    Option(
        "Images: demo, folder:DIR, parquet:FILE, cifar10, or another data SPEC.",
        "SPEC",
        complete=complete_data,
        read=check_data,
    ),
]
MODEL_FORMS = "demo, demo:robust, py:FILE:FACTORY, torchvision:NAME, timm:NAME, onnx:FILE, or another model SPEC."
Model = Annotated[str, Option(MODEL_FORMS, "SPEC", complete=complete_model, read=check_model)]
Run = Annotated[str, Argument("Run directory.", "DIR")]

Limit = Annotated[int | None, OWN["limit"]]
Seed = Annotated[int, Option("Random seed.", "S", SEED)]
Resume = Annotated[bool, OWN["resume"]]
BatchSize = Annotated[int | Literal["auto"], OWN["batch_size"]]
Device = Annotated[str, OWN["device"]]
Workers = Annotated[int | None, OWN["workers"]]
Engine = Annotated[str, replace(RUN["engine"], read=check_engine)]
Gates = Annotated[list[str] | None, replace(RUN["gates"], read=check_gate)]
Baseline = Annotated[str | None, RUN["baseline"]]
Track = Annotated[str | None, RUN["track"]]
Download = Annotated[bool, RUN["download"]]
AllowLargeEps = Annotated[bool, RUN["allow_large_eps"]]


def check_code(value: str) -> str:
    """Refuse a SPEC that runs no code."""
    if not is_code(value):
        raise typer.BadParameter(f"{shorten(value)} is no SPEC that runs code, such as py:net.py:make")
    return value


AllowCode = Annotated[
    list[str] | None,
    Option(
        "Allow this code, such as py:net.py:make, although only a file names it. May be repeated.",
        "SPEC",
        read=check_code,
    ),
]
"""Its value is not passed on: it is one of the words of the command line; see `unshaken.core.consent`."""

Detectors = Annotated[str, Option("Folder written by 'unshaken detect fit'.", "DETECTORS")]
Accept = Annotated[float | None, Option("Share of normal images that is accepted at least (0.95).", "SHARE", SHARE)]

# of training, in panels of their own
START_MODEL = Option(
    "Architecture with new weights (small, small-cnn, new:torchvision:NAME), or a model to fine-tune.",
    "ARCH|SPEC",
    complete=complete_model,
    read=check_start,
)
Out = Annotated[
    str | None, OutputFolder("Run directory. Default: a new folder in runs/.", "DIR", records=TRAINING_RECORDS)
]
Epochs = Annotated[int | None, Option("Number of epochs. Default: 10.", "N", (1, 1_000_000), panel="Training")]
StepSize = Annotated[int | None, Option("Number of images per step. Default: 128.", "N", BATCH, panel="Training")]
LearningRate = Annotated[float | None, Option("Peak learning rate. Default: 0.1.", "RATE", (0, 1e6), panel="Training")]
TrainingSeed = Annotated[int, Option("Random seed.", "S", SEED, panel="Training")]
Set = Annotated[
    list[str] | None,
    Option(
        "Another training option, e.g. schedule=step or inner_precision=bf16. May be repeated.",
        "K=V",
        panel="Training",
    ),
]
TrainingLimit = Annotated[int | None, Option("Maximum number of images.", "N", LIMIT, panel="Execution")]
NewHead = Annotated[bool, Option("Replace the last layer when the data has other classes.", panel="Execution")]
TrainingDevice = Annotated[str, Option("Device to train on.", "auto|cpu|cuda|mps", panel="Execution")]
TrainingWorkers = Annotated[
    int | None, Option("Number of threads that decode images.", "N", WORKERS, panel="Execution")
]
TrainingTrack = Annotated[
    str | None,
    Option(
        "Log each epoch to MLflow (a folder or tracking URI), to wandb:PROJECT, or to tensorboard:DIR.",
        "URI",
        panel="Execution",
    ),
]

# of servers and reviews
Database = Annotated[
    str | None,
    UpdatedFile(
        "Database of the reviews: a path, sqlite:///PATH or postgresql+psycopg://...  Default: review.db in DIR.",
        "URL",
        kind="a database of SQLite",
        begins=SQLITE,
    ),
]
ReviewName = Annotated[str, Option("Name of the review in the database.", "NAME")]
Port = Annotated[int, Option("Port to listen at; 0 for a free one.", "N", (0, 65535))]
Host = Annotated[str, Option("Address to listen at; beyond this machine readers log in by a token.", "ADDRESS")]
Readers = Annotated[
    str | None,
    Option(
        "Names of readers who log in by a token; tokens of new ones are printed once. "
        "Default: one reader without log-in, on this machine alone.",
        "A,B",
    ),
]
Browser = Annotated[bool, Option("Open the pages in a browser.")]
