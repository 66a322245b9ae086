"""Options of a command that makes a run: `audit`, `attack`, `certify` and `detect score`."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from unshaken.cli.options.shared import AllowCode, Download, Track
from unshaken.cli.values import LIMIT, SEED, WORKERS
from unshaken.core.errors import ParameterError
from unshaken.core.numbers import LARGEST_BATCH, LARGEST_COUNT, parse_whole, shorten

RunOptions = dict[str, Any]
"""What `run_options` gives."""


def _whole_or(word: str, value: str, least: int, most: int = LARGEST_COUNT) -> str:
    if value == word:
        return word
    try:
        return str(parse_whole(value, least=least, most=most))
    except ParameterError:
        raise typer.BadParameter(
            f"{shorten(value)} is neither a whole number from {least} to {most:,} nor {word!r}"
        ) from None


def check_batch_size(value: str) -> str:
    """Check a batch size: `auto`, or a number of images."""
    return _whole_or("auto", value, 1, LARGEST_BATCH)


def check_examples(value: str) -> str:
    """Check a number of example images: `all`, or a number per condition."""
    return _whole_or("all", value, 0)


_run = partial(typer.Option, rich_help_panel="Run")
_gates = partial(typer.Option, rich_help_panel="Gates")
_execution = partial(typer.Option, rich_help_panel="Execution")

Limit = Annotated[
    int | None,
    _run(metavar="N", **LIMIT, help="Maximum number of samples (a stratified random subset).", show_default=False),
]
Seed = Annotated[int, _run(metavar="S", **SEED, help="Random seed of the run.")]
Out = Annotated[
    str | None,
    _run(
        metavar="DIR",
        help="Run directory or fsspec address. Default: a new folder in runs/ named after model, data and time.",
        show_default=False,
    ),
]
Resume = Annotated[bool, _run("--resume", help="Resume the run in --out.", show_default=False)]
OnError = Annotated[str, _run(metavar="record|stop", help="On an unreadable sample: record it and continue, or stop.")]
Name = Annotated[
    str | None,
    _run(
        metavar="TEXT",
        help="Name of the model in reports and comparisons. Default: its SPEC.",
        show_default=False,
    ),
]
SaveExamples = Annotated[
    str,
    _run(
        metavar="N|all",
        help="Number of example images to save per condition, the most damaging first.",
        callback=check_examples,
    ),
]
Gate = Annotated[
    list[str] | None,
    _gates(
        metavar="EXPR",
        help="Exit with code 1 unless this holds, e.g. 'clean.accuracy >= 0.9'. May be repeated.",
        show_default=False,
    ),
]
Baseline = Annotated[
    str | None,
    _gates(metavar="DIR", help="Run directory to compare with, for the gate no-regression.", show_default=False),
]
Register = Annotated[
    str | None,
    _gates(
        metavar="NAME@ALIAS",
        help="Register the model where --track says; ALIAS moves to this version only if all gates hold.",
        show_default=False,
    ),
]
Device = Annotated[str, _execution(metavar="auto|cpu|cuda|mps", help="Device to run on.")]
Precision = Annotated[
    str,
    _execution(metavar="fp32|bf16", help="Precision of an attack's search; results are always verified in fp32."),
]
Eot = Annotated[
    int,
    _execution(
        metavar="N",
        min=1,
        max=10_000,
        help="Number of gradients to average per step, for a model that is random (EoT).",
    ),
]
BatchSize = Annotated[
    str,
    _execution(metavar="auto|N", help="Maximum number of images in one forward pass.", callback=check_batch_size),
]
StrictBatch = Annotated[
    bool,
    _execution(
        "--strict-batch",
        help="Stop with an error when memory runs out, instead of halving the batch.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    _execution(
        metavar="N",
        **WORKERS,
        help="Number of threads that decode images. Default: number of cores.",
        show_default=False,
    ),
]
Engine = Annotated[
    str,
    _execution(
        metavar="local|local:N|ray",
        help="Execution engine: this process, N processes of this machine, or the workers of a Ray cluster.",
    ),
]
Share = Annotated[
    bool,
    _execution(
        "--share",
        help="Work on the run in --out together with other processes or machines that run the same command.",
        show_default=False,
    ),
]
Part = Annotated[
    str | None,
    _execution(
        metavar="K/N",
        help="Compute the K-th of N parts of the run only, in an --out of its own; 'unshaken merge' joins the parts.",
        show_default=False,
    ),
]


def run_options(
    limit: Limit = None,
    seed: Seed = 0,
    out: Out = None,
    resume: Resume = False,
    on_error: OnError = "record",
    name: Name = None,
    track: Track = None,
    register: Register = None,
    save_examples: SaveExamples = "20",
    gate: Gate = None,
    baseline: Baseline = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    eot: Eot = 1,
    batch_size: BatchSize = "auto",
    strict_batch: StrictBatch = False,
    workers: Workers = None,
    engine: Engine = "local",
    share: Share = False,
    part: Part = None,
    download: Download = False,
    allow_code: AllowCode = None,
) -> RunOptions:
    """Collect the options of a command that makes a run, as keyword arguments of `unshaken.audit`."""
    return {
        "limit": limit,
        "seed": seed,
        "out": out,
        "resume": resume,
        "on_error": on_error,
        "name": name,
        "track": track,
        "register": register,
        "save_examples": -1 if save_examples == "all" else int(save_examples),
        "gates": tuple(gate or ()),
        "baseline": baseline,
        "device": device,
        "precision": precision,
        "eot": eot,
        "batch_size": batch_size if batch_size == "auto" else int(batch_size),
        "strict_batch": strict_batch,
        "workers": workers,
        "engine": engine,
        "share": share,
        "part": part,
        "download": download,
    }
