"""`unshaken evaluate`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from unshaken.cli.complete import complete_data, complete_methods, complete_model
from unshaken.cli.names import check_data, check_gate, check_method, check_model
from unshaken.cli.options import (
    MODEL_FORMS,
    OWN,
    AllowCode,
    BatchSize,
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
from unshaken.core.options import EVALUATE_RECORDS, Argument, Option, OutputFolder


@verb(name="evaluate", first="model data limit out gate device", python="evaluate")
def evaluate(
    session: Session,
    method: Annotated[
        str,
        Argument(
            "Evaluation and its parameters, e.g. few-shot:ways=5; see 'unshaken list evaluations'.",
            "NAME[:k=v,...]",
            complete=complete_methods("tasks"),
            read=check_method("tasks"),
        ),
    ],
    model: Annotated[
        list[str] | None,
        Option(
            f"{MODEL_FORMS} May be repeated for an evaluation that compares models.",
            "SPEC",
            complete=complete_model,
            read=check_model,
        ),
    ] = None,
    data: Annotated[
        str | None,
        Option(
            "Images: demo, folder:DIR, parquet:FILE, cifar10, or another data SPEC. Default: demo where no model is "
            "named.",
            "SPEC",
            complete=complete_data,
            read=check_data,
        ),
    ] = None,
    limit: Limit = None,
    seed: Seed = 0,
    out: Annotated[
        str | None, OutputFolder("Run directory. Default: runs/ and a name.", "DIR", records=EVALUATE_RECORDS)
    ] = None,
    resume: Resume = False,
    gate: Annotated[list[str] | None, replace(OWN["gates"], read=check_gate)] = None,
    batch_size: BatchSize = "auto",
    workers: Workers = None,
    device: Device = "auto",
    download: Download = False,
    allow_code: AllowCode = None,
    json: Json = False,
) -> int:
    """Evaluate other tasks: zero-shot, few-shot, frozen features, ranking, images and texts, boxes on the ground.

    Exit codes: 0 success, 1 a gate failed, 2 wrong usage or bad input, 3 finished, but some samples were unreadable.
    """
    from unshaken import api

    place = out or api.default_out(model[0] if model else "", data or "", method.partition(":")[0])
    return make_run(
        session,
        {"out": out},
        place,
        json,
        lambda o: api.evaluate(
            method, model, data, limit=limit, seed=seed, out=o["out"], resume=resume, gates=gate or (), device=device,
            batch_size=batch_size, workers=workers, download=download,
        ),
    )  # fmt: skip
