"""Options shared by several commands, each declared once."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from unshaken.cli.complete import complete_data, complete_model, complete_plan
from unshaken.cli.values import LIMIT, SEED, WORKERS
from unshaken.core.errors import ParameterError
from unshaken.core.numbers import LARGEST_BATCH, LARGEST_COUNT, parse_whole, shorten

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.", show_default=False)]
Data = Annotated[
    str,
    typer.Option(
        metavar="SPEC",
        help="Images: demo, folder:DIR, parquet:FILE, cifar10, or another data SPEC.",
        autocompletion=complete_data,
    ),
]
Plan = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE.yaml",
        help="What to run: quick, corruptions, attacks, full, or a YAML file.",
        autocompletion=complete_plan,
    ),
]
Download = Annotated[
    bool,
    typer.Option("--download", help="Allow downloading the model and the data from their source.", show_default=False),
]
Run = Annotated[str, typer.Argument(metavar="DIR", help="Run directory.", show_default=False)]
MODEL_FORMS = "demo, demo:robust, py:FILE:FACTORY, torchvision:NAME, timm:NAME, onnx:FILE, or another model SPEC."
Model = Annotated[
    str, typer.Option(metavar="SPEC", help=MODEL_FORMS, autocompletion=complete_model, show_default=False)
]
MaybeModel = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help=f"{MODEL_FORMS} Default: both demo networks, compared.",
        autocompletion=complete_model,
        show_default=False,
    ),
]

RunOptions = dict[str, Any]
"""What `run_options` gives."""

_RUN, _GATES, _SPEED = "Run", "Gates", "Execution"


def _count_or(word: str, value: str, least: int, most: int = LARGEST_COUNT) -> int | str:
    if value == word:
        return word
    try:
        return parse_whole(value, least=least, most=most)
    except ParameterError:
        raise typer.BadParameter(
            f"{shorten(value)} is neither a whole number from {least} to {most:,} nor {word!r}"
        ) from None


def batch_size(value: str) -> str:
    """Check a batch size: `auto`, or a number of images."""
    return str(_count_or("auto", value, 1, LARGEST_BATCH))


def examples(value: str) -> str:
    """Check a number of example images: `all`, or a number per condition."""
    return str(_count_or("all", value, 0))


def run_options(
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            **LIMIT,
            help="Maximum number of samples (a stratified random subset).",
            rich_help_panel=_RUN,
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", **SEED, help="Random seed of the run.", rich_help_panel=_RUN)] = 0,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Run directory or fsspec address. Default: a new folder in runs/ named after model, data and time.",
            rich_help_panel=_RUN,
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Resume the run in --out.", rich_help_panel=_RUN, show_default=False),
    ] = False,
    on_error: Annotated[
        str,
        typer.Option(
            metavar="record|stop",
            help="On an unreadable sample: record it and continue, or stop.",
            rich_help_panel=_RUN,
        ),
    ] = "record",
    name: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Name of the model in reports and comparisons. Default: its SPEC.",
            rich_help_panel=_RUN,
            show_default=False,
        ),
    ] = None,
    save_examples: Annotated[
        str,
        typer.Option(
            metavar="N|all",
            help="Number of example images to save per condition, the most damaging first.",
            rich_help_panel=_RUN,
            callback=examples,
        ),
    ] = "20",
    gate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPR",
            help="Exit with code 1 unless this holds, e.g. 'clean.accuracy >= 0.9'. May be repeated.",
            rich_help_panel=_GATES,
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Run directory to compare with, for the gate no-regression.",
            rich_help_panel=_GATES,
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda|mps", help="Device to run on.", rich_help_panel=_SPEED)
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            metavar="fp32|bf16",
            help="Precision of an attack's search; results are always verified in fp32.",
            rich_help_panel=_SPEED,
        ),
    ] = "fp32",
    eot: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=10_000,
            help="Number of gradients to average per step, for a model that is random (EoT).",
            rich_help_panel=_SPEED,
        ),
    ] = 1,
    batch_size: Annotated[
        str,
        typer.Option(
            metavar="auto|N",
            help="Maximum number of images in one forward pass.",
            rich_help_panel=_SPEED,
            callback=batch_size,
        ),
    ] = "auto",
    strict_batch: Annotated[
        bool,
        typer.Option(
            "--strict-batch",
            help="Stop with an error when memory runs out, instead of halving the batch.",
            rich_help_panel=_SPEED,
            show_default=False,
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            **WORKERS,
            help="Number of threads that decode images. Default: number of cores.",
            rich_help_panel=_SPEED,
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar="local|ray",
            help="Execution engine: this process, or the workers of a Ray cluster.",
            rich_help_panel=_SPEED,
        ),
    ] = "local",
    download: Download = False,
) -> dict[str, Any]:
    """Collect the options of a command that makes a run, as keyword arguments of `unshaken.audit`."""
    return {
        "limit": limit,
        "seed": seed,
        "out": out,
        "resume": resume,
        "on_error": on_error,
        "name": name,
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
        "download": download,
    }
