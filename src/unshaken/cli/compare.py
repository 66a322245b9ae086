"""`unshaken compare`."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Annotated

import typer

from unshaken.cli.options.shared import Json, Track
from unshaken.cli.session import Session
from unshaken.cli.show import print_json, print_line, print_page
from unshaken.cli.verb import verb


@verb
def compare(
    session: Session,
    directories: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR DIR ...", help="Two or more run directories; the first is the baseline.", show_default=False
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Folder for the comparison page. Default: beside the last run.", show_default=False
        ),
    ] = None,
    family: Annotated[
        list[str] | None,
        typer.Option(
            "--family",
            metavar="DIR",
            help="Run of a baseline detector; effective robustness is measured from the line through all. Repeatable.",
            show_default=False,
        ),
    ] = None,
    slope: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=10,
            help="Slope of that line, through 0, in the place of a family. Default: 0.45.",
            show_default=False,
        ),
    ] = None,
    track: Track = None,
    json: Json = False,
) -> int:
    """Compare runs on the same samples: paired differences with confidence intervals, corrected for multiple tests."""
    from unshaken import api
    from unshaken.report import write_comparison
    from unshaken.store.run_dir import RunDir

    result = api.compare(*directories, family=family or (), slope=slope, track=track)
    place = out or beside_last(directories)
    page = write_comparison(RunDir(place), result)
    if json:
        print_json(result.to_json())
        return 0
    if not session.quiet:
        print_page(page)
    print_line(f"page: {place.rstrip('/')}/compare.html")
    return 0


def beside_last(directories: Sequence[str]) -> str:
    """The default place of the page: a folder beside the last run, named after all.

    >>> beside_last(["runs/a", "runs/b/"])
    'runs/compare-a-b'
    """
    names = [posixpath.basename(d.rstrip("/")) or "run" for d in directories]
    parent = posixpath.dirname(directories[-1].rstrip("/"))
    return posixpath.join(parent, f"compare-{'-'.join(names)}"[:120])
