"""`unshaken attack`."""

from __future__ import annotations

from typing import Annotated

import typer

from unshaken.cli.complete import complete_attack
from unshaken.cli.options import Data, Json, Model, RunOptions
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
            help="An attack with its parameters, such as pgd:steps=40; see 'unshaken list attack'.",
            autocompletion=complete_attack,
        ),
    ] = "pgd",
    norm: Annotated[
        str | None,
        typer.Option(metavar="linf|l2|l1", help="Of the budget. Default: the attack's first.", show_default=False),
    ] = None,
    eps: Annotated[
        list[str] | None,
        typer.Option(
            metavar="E",
            help="A budget in units of [0, 1] pixels, such as 8/255 (the default). May be given again.",
            show_default=False,
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            metavar="strict|fast", help="Of autoattack and auto: float32, or a bfloat16 search.", show_default=False
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="PASSES|SECONDSs",
            help="What auto may spend: passes a sample (2000), or seconds in all (60s).",
            show_default=False,
        ),
    ] = None,
    defence: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:k=v,...]",
            help="A defence around the model, attacked through; see 'unshaken list harden'.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Run one attack; keep rows, figures, flags and a report.

    Exit codes: 0 done and gates held, 1 a gate failed, 2 wrong use or bad input, 3 finished but some samples were bad.
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
