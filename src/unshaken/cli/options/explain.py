"""Options of `unshaken explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from unshaken.cli.complete import complete_explanation, complete_map_metric
from unshaken.cli.values import COUNT

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME[:k=v,...]...",
        help="Attribution or analysis and its parameters, e.g. gradcam or smoothgrad:samples=20; "
        "see 'unshaken list explain'.",
        autocompletion=complete_explanation,
        show_default=False,
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="SPEC",
        help="Model to explain. May be repeated for an analysis that compares models. Default: demo.",
        show_default=False,
    ),
]
MaybeData = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC", help="Images to look at; not needed for an analysis of weights alone.", show_default=False
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="NAME[:k=v,...]",
        help="Metric that judges the maps, beside a random map's. May be repeated.",
        autocompletion=complete_map_metric,
        show_default=False,
    ),
]
OfRun = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="DIR",
        help="Run of an audit: explain the examples that it kept, before and after, and show them in its report.",
        show_default=False,
    ),
]
Boxes = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Parquet or CSV file of the objects' boxes: id, x, y, w, h.", show_default=False),
]
Masks = Annotated[
    str | None, typer.Option(metavar="DIR", help="Folder of the objects' masks, <id>.png.", show_default=False)
]
Explained = Annotated[
    str, typer.Option("--class", metavar="prediction|label", help="Class that maps explain: predicted, or labelled.")
]
KeepMaps = Annotated[
    int, typer.Option(metavar="N|-1", min=-1, max=COUNT["max"], help="Maps of a method to keep as files; -1 for all.")
]
Out = Annotated[
    str | None, typer.Option(metavar="DIR", help="Run directory. Default: runs/ and a name.", show_default=False)
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume the run in --out.", show_default=False)]
