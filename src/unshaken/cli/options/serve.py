"""Options of `unshaken serve`."""

from __future__ import annotations

from typing import Annotated

import typer

Directories = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="DIR",
        help="Folders that hold run directories, however deep. Default: runs.",
        show_default=False,
    ),
]
Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        help="Database of the list of runs, the readers and their reviews: a path, sqlite:///PATH or "
        "postgresql+psycopg://...  Default: a file in the cache.",
        show_default=False,
    ),
]
ReadOnly = Annotated[
    bool,
    typer.Option("--read-only", help="Hide and refuse everything that changes or starts something."),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SPEC",
        help="Model or data SPEC that started runs may use, besides those of the listed runs. May be repeated.",
        show_default=False,
    ),
]
