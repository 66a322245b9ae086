"""Options shared by several commands."""

from __future__ import annotations

from typing import Annotated

import typer

from unshaken.cli.complete import complete_data, complete_model, complete_plan
from unshaken.core.consent import is_code
from unshaken.core.numbers import shorten

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
        help="What to run: quick, corruptions, c-bar, 3dcc, 3dcc-video, low-light, attacks, full, or a YAML file.",
        autocompletion=complete_plan,
    ),
]
Download = Annotated[
    bool,
    typer.Option("--download", help="Allow downloading the model and the data from their source.", show_default=False),
]
Track = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        help="Log to MLflow (a folder or tracking URI), to wandb:PROJECT, or to tensorboard:DIR.",
        show_default=False,
    ),
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


def code(value: str) -> str:
    """Check a SPEC that runs code."""
    if not is_code(value):
        raise typer.BadParameter(f"{shorten(value)} is no SPEC that runs code, such as py:net.py:make")
    return value


AllowCode = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-code",
        metavar="SPEC",
        help="Allow this code, such as py:net.py:make, although only a file names it. May be repeated.",
        callback=lambda values: [code(v) for v in values or ()],
        show_default=False,
    ),
]
"""Its value is not passed on: it is one of the words of the command line; see `unshaken.core.consent`."""
