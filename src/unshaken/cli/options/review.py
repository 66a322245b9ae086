"""Options of the commands that review labels."""

from __future__ import annotations

from typing import Annotated

import typer

LARGEST_PORT = 65535
DATABASE = "review.db"
"""File of a run directory that holds its reviews, where no other database is named."""

Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        help="Database of the reviews: a path, sqlite:///PATH or postgresql+psycopg://...  Default: review.db in DIR.",
        show_default=False,
    ),
]
Name = Annotated[str, typer.Option(metavar="NAME", help="Name of the review in the database.")]
Port = Annotated[int, typer.Option(metavar="N", min=0, max=LARGEST_PORT, help="Port to listen at; 0 for a free one.")]
Host = Annotated[
    str, typer.Option(metavar="ADDRESS", help="Address to listen at; beyond this machine readers log in by a token.")
]
Readers = Annotated[
    str | None,
    typer.Option(
        metavar="A,B",
        help="Names of readers who log in by a token; tokens of new ones are printed once. "
        "Default: one reader without log-in, on this machine alone.",
        show_default=False,
    ),
]
Blind = Annotated[
    bool | None,
    typer.Option(
        "--blind/--open",
        help="Hide the model's suggestion until a reader's first verdict, or never. Default: hide.",
        show_default=False,
    ),
]
PerItem = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=100,
        help="Number of readers who must answer each item. Default: 2 with --readers, else 1.",
        show_default=False,
    ),
]
Items = Annotated[
    str | None,
    typer.Option(
        metavar="sample|flagged|all",
        help="Labels to review: the drawn sample, those flagged, or all, the most suspect first. Default: sample.",
        show_default=False,
    ),
]
Browser = Annotated[bool, typer.Option("--browser", help="Open the pages in a browser.", show_default=False)]
File = Annotated[str, typer.Option("--out", metavar="FILE", help="File to write.", show_default=False)]
Source = Annotated[str, typer.Argument(metavar="FILE", help="File of verdicts.", show_default=False)]
Format = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Kind of file: csv, cleanlab (.npz), label-studio, fiftyone; for export also overlay (for ?labels=FILE) "
        "and parquet (the whole data with its labels corrected).",
    ),
]
Version = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Named version of the labels. Default: as they are now.", show_default=False),
]
Reader = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Reader of answers whose reader the file does not say.", show_default=False),
]
