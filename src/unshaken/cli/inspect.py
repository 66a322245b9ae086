"""`unshaken inspect` and `unshaken drift`."""

from __future__ import annotations

from typing import Annotated

from unshaken.cli.complete import complete_data, complete_methods, complete_model
from unshaken.cli.names import check_data, check_method, check_model
from unshaken.cli.options import (
    MODEL_FORMS,
    OWN,
    AllowCode,
    Data,
    Device,
    Download,
    Json,
    Limit,
    Resume,
    Seed,
    Workers,
)
from unshaken.cli.runs import make_run
from unshaken.cli.session import Session
from unshaken.cli.verb import verb
from unshaken.core.options import COUNT, EVALUATE_RECORDS, SHARE, Option, OutputFolder

Out = Annotated[str | None, OutputFolder("Run directory. Default: runs/ and a name.", "DIR", records=EVALUATE_RECORDS)]


@verb(name="inspect", first="data check against model out gate", python="inspect")
def inspect(
    session: Session,
    data: Data,
    check: Annotated[
        list[str] | None,
        Option(
            "Check and its parameters; see 'unshaken list inspect'. May be repeated. Default: all that data and model "
            "allow.",
            "NAME[:k=v,...]",
            complete=complete_methods("inspect"),
            read=check_method("inspect"),
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        Option(
            "Further images, such as the training data: those of --data that are in it as well are a leak. May be "
            "repeated.",
            "SPEC",
            complete=complete_data,
            read=check_data,
        ),
    ] = None,
    model: Annotated[
        str | None,
        Option(f"Model that ranks outliers: {MODEL_FORMS}", "SPEC", complete=complete_model, read=check_model),
    ] = None,
    run: Annotated[
        str | None,
        Option("Run directory of a model on --data: how much of its accuracy leaked images make.", "DIR"),
    ] = None,
    limit: Limit = None,
    seed: Seed = 0,
    out: Out = None,
    resume: Resume = False,
    gate: Annotated[list[str] | None, OWN["gates"]] = None,
    workers: Workers = None,
    device: Device = "auto",
    download: Download = False,
    allow_code: AllowCode = None,
    json: Json = False,
) -> int:
    """Inspect a data set: copies, leaks, damaged and odd images, class balance, and labels that are given away.

    Exit codes: 0 success, 1 a gate failed, 2 wrong usage or bad input, 3 finished, but some samples were unreadable.
    """
    from unshaken import api

    return make_run(
        session,
        {"out": out},
        out or api.default_out("inspect", data, "health"),
        json,
        lambda o: api.inspect(
            data, check or (), against=against or (), model=model or "", run=run or "", limit=limit, seed=seed,
            out=o["out"], resume=resume, gates=gate or (), device=device, workers=workers, download=download,
        ),
    )  # fmt: skip


@verb(name="drift", first="reference data model limit out gate", python="drift")
def drift(
    session: Session,
    reference: Annotated[
        str,
        Option("Images to compare with, such as the training data.", "SPEC", complete=complete_data, read=check_data),
    ],
    data: Data,
    model: Annotated[
        str | None,
        Option(f"Model whose outputs are tested too: {MODEL_FORMS}", "SPEC", complete=complete_model, read=check_model),
    ] = None,
    alpha: Annotated[float, Option("Probability of a difference being shown where there is none.", "P", SHARE)] = 0.05,
    permutations: Annotated[int, Option("Number of random divisions in a permutation test.", "N", COUNT)] = 999,
    limit: Limit = None,
    seed: Seed = 0,
    out: Out = None,
    resume: Resume = False,
    gate: Annotated[list[str] | None, OWN["gates"]] = None,
    workers: Workers = None,
    device: Device = "auto",
    download: Download = False,
    allow_code: AllowCode = None,
    json: Json = False,
) -> int:
    """Test whether a data set differs from a reference, in features, properties, classes and a model's outputs.

    Exit codes: 0 success, 1 a gate failed, 2 wrong usage or bad input, 3 finished, but some samples were unreadable.
    """
    from unshaken import api

    return make_run(
        session,
        {"out": out},
        out or api.default_out("drift", data, "drift"),
        json,
        lambda o: api.drift(
            reference, data, model=model or "", alpha=alpha, permutations=permutations, limit=limit, seed=seed,
            out=o["out"], resume=resume, gates=gate or (), device=device, workers=workers, download=download,
        ),
    )  # fmt: skip
