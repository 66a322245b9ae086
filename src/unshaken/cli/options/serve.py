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
UserHeader = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Header in which the proxy of --trusted-proxy names who has logged in there, such as X-Forwarded-User.",
        show_default=False,
    ),
]
TrustedProxy = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ADDRESS",
        help="Address or network of a proxy whose X-Forwarded-For, X-Forwarded-Proto and --user-header are believed. "
        "May be repeated. Default: 127.0.0.1 for the first two.",
        show_default=False,
    ),
]
AuditLog = Annotated[
    str | None,
    typer.Option(
        "--audit-log",
        metavar="FILE",
        help="Append a line for each log-in, each form that was taken and each refused request to this file; - for "
        "standard error.",
        show_default=False,
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SPEC",
        help="Model or data SPEC that started runs may use, besides those of the listed runs. May be repeated.",
        show_default=False,
    ),
]
