"""Options of the score endpoint of `unshaken serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from unshaken.cli.values import COUNT, SHARE
from unshaken.core.numbers import LARGEST_BATCH

PANEL = "Score endpoint"

Score = Annotated[
    str | None,
    typer.Option(
        "--score",
        metavar="SPEC",
        help="Model to answer POST /v1/score with.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Detectors = Annotated[
    str | None,
    typer.Option(
        metavar="DETECTORS",
        help="Folder written by 'unshaken detect fit', on the model of --score.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Accept = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        **SHARE,
        help="Minimum share of normal images that the detectors accept, all together.",
        rich_help_panel=PANEL,
    ),
]
Calibrate = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help="Labelled images, not seen in training, to calibrate the probabilities on.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
History = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Run directory to keep windows of predicted classes and rejected images in.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Window = Annotated[
    int, typer.Option(metavar="N", **COUNT, help="Number of images in a window of --history.", rich_help_panel=PANEL)
]
MaxBatch = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=LARGEST_BATCH,
        help="Maximum number of images in one pass. Default: by their size.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Queue = Annotated[
    int,
    typer.Option(
        metavar="N",
        **COUNT,
        help="Maximum number of images that wait; further requests are answered with status 429.",
        rich_help_panel=PANEL,
    ),
]
RateLimit = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        **COUNT,
        help="Maximum number of requests of one caller per minute. Default: any number.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
Device = Annotated[
    str,
    typer.Option(metavar="DEVICE", help="Device of the model: auto, cpu, cuda, mps, xpu.", rich_help_panel=PANEL),
]
RefusalLog = Annotated[
    str | None,
    typer.Option(
        "--refusal-log",
        metavar="FILE",
        help="Append a line for each refused request to this file; - for standard error.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
