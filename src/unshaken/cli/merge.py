"""`unshaken merge`."""

from __future__ import annotations

from typing import Annotated

from unshaken.cli.options import Baseline, Gates, Json
from unshaken.cli.outcome import show_run
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.verb import verb
from unshaken.core.options import Argument, Option


@verb
def merge(
    session: Session,
    directories: Annotated[list[str], Argument("Run directories of the parts of one run.", "DIR DIR ...")],
    out: Annotated[str, Option("Directory of the whole run; it must hold no run.", "DIR")],
    allow_missing: Annotated[
        bool, Option("Continue where samples are in none of the directories; the result can be resumed.")
    ] = False,
    gate: Gates = None,
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
