"""`unshaken board make|submit`: tables of many models' runs, and runs as one file."""

from __future__ import annotations

from typing import Annotated

from unshaken.cli.options import Json
from unshaken.cli.session import Session
from unshaken.cli.show import print_json, print_line, print_page
from unshaken.cli.verb import Program, verb
from unshaken.core.options import BOARD_RECORDS, Argument, OutputFile, OutputFolder

app = Program(name="board", help="Compare the runs of many models in one table.", no_args_is_help=True)


@app.callback()
def board() -> None:
    """Compare the runs of many models in one table; exchange runs as files."""


@app.command("make")
@verb
def make(
    session: Session,
    places: Annotated[list[str], Argument("Run directories, submissions (.zip), and folders of both.", "DIR ...")],
    out: Annotated[str, OutputFolder("Folder for the static site.", "DIR", records=BOARD_RECORDS)],
    json: Json = False,
) -> int:
    """Put finished runs and submissions into one table of models by protocols, written as a static site.

    Runs share a column only if they have the same plan, parameters, data, samples, labels and seed.
    """
    from unshaken import api

    done = api.board(*places, out=out)
    if json:
        print_json(done.summary)
        return 0
    if not session.quiet:
        print_page(done.page)
    print_line(f"page: {str(done.run).rstrip('/')}/index.html")
    return 0


@app.command("submit")
@verb
def submit(
    directory: Annotated[str, Argument("Run directory.", "RUN")],
    out: Annotated[str, OutputFile("File to write, ending in .zip.", "FILE")],
) -> int:
    """Write a finished run as one file for a board: its record and rows, without images."""
    from unshaken import api

    api.submit_run(directory, out=out)
    print_line(f"submission: {out}")
    return 0
