"""`unshaken attack`."""

from __future__ import annotations

from typing import Annotated

import typer

from unshaken.cli.complete import complete_attack
from unshaken.cli.options.run import RunOptions
from unshaken.cli.options.shared import Data, Json, Model
from unshaken.cli.outcome import make_run
from unshaken.cli.session import Session
from unshaken.cli.verb import verb


@verb
def attack(
    session: Session,
    options: RunOptions,
    model: Model,
    data: Data,
    attack: Annotated[
        str,
        typer.Option(
            metavar="NAME[:k=v,...]",
            help="Attack and its parameters, e.g. pgd:steps=40; see 'unshaken list attack'.",
            autocompletion=complete_attack,
        ),
    ] = "pgd",
    norm: Annotated[
        str | None,
        typer.Option(
            metavar="linf|l2|l1",
            help="Norm of the perturbation. Default: the first that the attack supports.",
            show_default=False,
        ),
    ] = None,
    eps: Annotated[
        list[str] | None,
        typer.Option(
            metavar="E",
            help="Maximum size of the perturbation, for pixels in [0, 1]. Default: 8/255. May be repeated.",
            show_default=False,
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            metavar="strict|fast",
            help="For autoattack and auto: search in float32, or faster in bfloat16.",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="PASSES|SECONDSs",
            help="For auto: maximum number of passes per sample (2000), or seconds in total (60s).",
            show_default=False,
        ),
    ] = None,
    defence: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:k=v,...]",
            help="Inference-time defence to put around the model; the attack sees it. See 'unshaken list harden'.",
            show_default=False,
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
