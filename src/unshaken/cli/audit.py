"""`unshaken audit`."""

from __future__ import annotations

from unshaken.cli.options.run import RunOptions
from unshaken.cli.options.shared import Data, Json, MaybeModel, Plan
from unshaken.cli.outcome import make_run
from unshaken.cli.session import Session
from unshaken.cli.verb import verb


@verb
def audit(
    session: Session,
    options: RunOptions,
    model: MaybeModel = None,
    data: Data = "demo",
    plan: Plan = "quick",
    json: Json = False,
) -> int:
    """Measure a model's accuracy under corruptions and attacks, and write a report.

    Exit codes: 0 success, 1 a gate failed, 2 wrong usage or bad input, 3 finished, but some samples were unreadable.
    """
    from unshaken import api

    out = api.default_out(model, data, plan)
    return make_run(session, options, out, json, lambda o: api.audit(model, data, plan, **o))
