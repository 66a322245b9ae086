"""`unshaken attack`."""

from __future__ import annotations

from typing import Annotated

from unshaken.cli.complete import complete_attack
from unshaken.cli.options import Data, Json, Model
from unshaken.cli.outcome import make_run
from unshaken.cli.session import Session
from unshaken.cli.verb import verb
from unshaken.core.options import Option, Options


@verb
def attack(
    session: Session,
    options: Options,
    model: Model,
    data: Data,
    attack: Annotated[
        str,
        Option(
            "Attack and its parameters, e.g. pgd:steps=40; see 'unshaken list attack'.",
            "NAME[:k=v,...]",
            complete=complete_attack,
        ),
    ] = "pgd",
    norm: Annotated[
        str | None, Option("Norm of the perturbation. Default: the first that the attack supports.", "linf|l2|l1")
    ] = None,
    eps: Annotated[
        list[str] | None,
        Option("Maximum size of the perturbation, for pixels in [0, 1]. Default: 8/255. May be repeated.", "E"),
    ] = None,
    mode: Annotated[
        str | None, Option("For autoattack and auto: search in float32, or faster in bfloat16.", "strict|fast")
    ] = None,
    budget: Annotated[
        str | None,
        Option("For auto: maximum number of passes per sample (2000), or seconds in total (60s).", "PASSES|SECONDSs"),
    ] = None,
    defence: Annotated[
        str | None,
        Option(
            "Inference-time defence to put around the model; the attack sees it. See 'unshaken list harden'.",
            "NAME[:k=v,...]",
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Attack a model with one method, and write a report.

    Exit codes: 0 success, 1 a gate failed, 2 wrong usage or bad input, 3 finished, but some samples were unreadable.
    """
    from unshaken import api

    return make_run(
        session,
        options,
        api.default_out(model, data, attack.partition(":")[0]),
        json,
        lambda o: api.attack(
            model, data, attack, norm=norm, eps=eps or None, mode=mode, budget=budget, defence=defence, **o
        ),
    )
