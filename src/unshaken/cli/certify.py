"""`unshaken certify`."""

from __future__ import annotations

from typing import Annotated

from unshaken.cli.complete import complete_certifier
from unshaken.cli.options import Data, Json, Model
from unshaken.cli.outcome import make_run
from unshaken.cli.session import Session
from unshaken.cli.verb import verb
from unshaken.core.options import Option, Options


@verb
def certify(
    session: Session,
    options: Options,
    model: Model,
    data: Data,
    method: Annotated[
        str,
        Option(
            "Certification method and its parameters, e.g. smoothing:sigma=0.5; see 'unshaken list certify'.",
            "NAME[:k=v,...]",
            complete=complete_certifier,
        ),
    ] = "smoothing-sequential",
    radius: Annotated[
        list[str] | None, Option("Radius to certify, in the method's norm, e.g. 0.5 or 8/255. May be repeated.", "R")
    ] = None,
    attacked: Annotated[
        bool,
        Option(
            "Also attack the same samples, as a check: attacked accuracy is an upper bound of certified accuracy.",
            flags="--attacked/--not-attacked",
        ),
    ] = True,
    json: Json = False,
) -> int:
    """Certify the robustness of each prediction, and write a report.

    Exit codes: 0 success, 1 a gate failed, 2 wrong usage or bad input, 3 finished, but some samples were unreadable.
    """
    from unshaken import api

    return make_run(
        session,
        options,
        api.default_out(model, data, method.partition(":")[0]),
        json,
        lambda o: api.certify(model, data, method, radii=radius or None, attacked=attacked, **o),
    )
