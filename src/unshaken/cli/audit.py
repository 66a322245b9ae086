"""`unshaken audit`."""

from __future__ import annotations

from typing import Annotated

from unshaken.cli.complete import complete_model, complete_plan
from unshaken.cli.options import MODEL_FORMS, Data, Json
from unshaken.cli.outcome import make_run
from unshaken.cli.session import Session
from unshaken.cli.verb import verb
from unshaken.core.options import Option, Options


@verb
def audit(
    session: Session,
    options: Options,
    model: Annotated[
        str | None, Option(f"{MODEL_FORMS} Default: both demo networks, compared.", "SPEC", complete=complete_model)
    ] = None,
    data: Data = "demo",
    plan: Annotated[
        str,
        Option(
            "What to run: quick, corruptions, c-bar, 3dcc, 3dcc-video, low-light, attacks, full, or a YAML file.",
            "NAME|FILE.yaml",
            complete=complete_plan,
        ),
    ] = "quick",
    json: Json = False,
) -> int:
    """Measure a model's accuracy under corruptions and attacks, and write a report.

    Exit codes: 0 success, 1 a gate failed, 2 wrong usage or bad input, 3 finished, but some samples were unreadable.
    """
    from unshaken import api

    out = api.default_out(model, data, plan)
    return make_run(session, options, out, json, lambda o: api.audit(model, data, plan, **o))
