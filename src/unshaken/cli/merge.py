"""`unshaken merge`."""

from __future__ import annotations

from typing import Annotated

import typer

from unshaken.cli.options.run import Baseline, Gate
from unshaken.cli.options.shared import Json
from unshaken.cli.outcome import show_run
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.verb import verb


@verb
def merge(
    session: Session,
    directories: Annotated[
        list[str],
        typer.Argument(metavar="DIR DIR ...", help="Run directories of the parts of one run.", show_default=False),
    ],
    out: Annotated[
        str, typer.Option(metavar="DIR", help="Directory of the whole run; it must hold no run.", show_default=False)
    ],
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Continue where samples are in none of the directories; the result can be resumed.",
            show_default=False,
        ),
    ] = False,
    gate: Gate = None,
    baseline: Baseline = None,
    json: Json = False,
) -> int:
    """Join the parts of a run that were computed with --part in several directories.

    Exit codes: as for unshaken audit.
    """
    from unshaken import api

    with progress(session):
        done = api.merge(*directories, out=out, allow_missing=allow_missing, gates=gate or (), baseline=baseline)
    return show_run(session, done, json)
