"""`unshaken certify`."""

from __future__ import annotations

from typing import Annotated

import typer

from unshaken.cli.complete import complete_certifier
from unshaken.cli.options import Data, Json, Model, RunOptions
from unshaken.cli.outcome import make_run
from unshaken.cli.session import Session
from unshaken.cli.verb import verb


@verb
def certify(
    session: Session,
    options: RunOptions,
    model: Model,
    data: Data,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME[:k=v,...]",
            help="A certifier with its parameters, such as smoothing:sigma=0.5; see 'unshaken list certify'.",
            autocompletion=complete_certifier,
        ),
    ] = "smoothing-sequential",
    radius: Annotated[
        list[str] | None,
        typer.Option(
            metavar="R",
            help="A size to certify, in the unit of the method's norm, such as 0.5 or 8/255. May be given again.",
            show_default=False,
        ),
    ] = None,
    attacked: Annotated[
        bool,
        typer.Option(
            "--attacked/--not-attacked",
            help="Attack the same samples too: what an attack leaves standing must lie above what is certified.",
        ),
    ] = True,
    json: Json = False,
) -> int:
    """Say what is guaranteed, sample by sample; keep rows, figures, flags and a report.

    Exit codes: 0 done and gates held, 1 a gate failed, 2 wrong use or bad input, 3 finished but some samples were bad.
    """
    from unshaken import api

    return make_run(
        session,
        options,
        api.default_out(model, data, method.partition(":")[0]),
        json,
        lambda o: api.certify(model, data, method, radii=radius or None, attacked=attacked, **o),
    )
