"""`unshaken detect fit|mark|score|threshold|drift`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from unshaken.cli.advice import epilog
from unshaken.cli.mark import mark
from unshaken.cli.options import detectors as opt
from unshaken.cli.options.run import RunOptions
from unshaken.cli.options.shared import AllowCode, Data, Download, Json, Model, Run
from unshaken.cli.outcome import BAD_SAMPLES, FEW, GATE_FAILED, make_run
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import console, print_json, print_line, printable, table
from unshaken.cli.verb import verb

if TYPE_CHECKING:
    from unshaken.detect import DetectorSet

app = typer.Typer(
    name="detect", help="Detect abnormal, adversarial, generated or unsafe inputs.", epilog=epilog("detect")
)

USUAL = 0.95
"""Minimum share of normal images to accept."""

app.command("mark")(mark)


@app.command("fit", epilog=epilog("detect"))
@verb
def fit(
    session: Session,
    model: Model,
    data: Data,
    out: opt.NewDetectors,
    method: opt.Methods = None,
    keep: opt.Keep = 20_000,
    tune: opt.Tune = 500,
    calibration: opt.Calibration = 0.2,
    accept: opt.Accept = None,
    limit: opt.Limit = None,
    seed: opt.Seed = 0,
    batch_size: opt.BatchSize = None,
    workers: opt.Workers = None,
    device: opt.Device = "auto",
    download: Download = False,
    json: Json = False,
) -> int:
    """Fit detectors of abnormal inputs on normal data, in one pass over it.

    Exit codes: 0 success, 2 wrong usage or bad input, 3 finished, but some samples were unreadable.
    """
    from unshaken import api
    from unshaken.detect import Shares
    from unshaken.detect import fit as fitted

    with progress(session):
        done = fitted(
            model,
            data,
            list(method or opt.DEFAULT),
            shares=Shares(keep, tune, calibration),
            accept=accept,
            seed=seed,
            take=limit,
            batch_size=batch_size,
            workers=workers,
            device=api.choose_device(device),
            download=download,
        )
        done.detector_set.save(out)
    _show_result(session, done.detector_set, accept or USUAL, json)
    if not json:
        print_line(f"detectors: {out}")
    for bad in done.bad[:FEW]:
        typer.echo(f"bad sample {printable(str(bad))}", err=True)
    return BAD_SAMPLES if done.bad else 0


@app.command("score", epilog=epilog("detect"))
@verb
def score(
    session: Session,
    options: RunOptions,
    model: Model,
    data: Data,
    detectors: opt.Detectors,
    accept: opt.Accept = None,
    against: opt.Against = None,
    shift: opt.Shift = None,
    attacked: opt.Attacked = True,
    attack: opt.Attack = "pgd:steps=20,step_size=0.1",
    norm: opt.Norm = "linf",
    eps: opt.Eps = None,
    samples: opt.Samples = 50,
    json: Json = False,
) -> int:
    """Score images with fitted detectors, in one pass of the model, and write a report.

    Exit codes: 0 success, 1 a gate failed, 2 wrong usage or bad input, 3 finished, but some samples were unreadable.
    """
    from unshaken import api

    return make_run(
        session,
        options,
        api.default_out(model, data, "detect"),
        json,
        lambda o: api.detect(
            model, data, detectors, accept=accept, against=against or (), shifts=shift or (), attacked=attacked,
            attack=attack, norm=norm, eps=eps or "8/255", samples=samples, **o,
        ),
    )  # fmt: skip


@app.command("threshold")
@verb
def threshold(
    session: Session,
    detectors: opt.Detectors,
    accept: opt.Accept = None,
    model: opt.FittedModel = None,
    data: opt.NormalData = None,
    out: opt.MovedDetectors = None,
    limit: opt.Limit = None,
    seed: opt.Seed = 0,
    workers: opt.Workers = None,
    device: opt.Device = "auto",
    download: Download = False,
    allow_code: AllowCode = None,
    json: Json = False,
) -> int:
    """Show the detectors' thresholds and their guarantees; with --data, set them on other normal images.

    Exit codes: 0 success, 2 wrong usage or bad input, 3 thresholds were set, but some samples were unreadable.
    """
    from unshaken.api import set_thresholds
    from unshaken.core.errors import ParameterError
    from unshaken.detect.engine.detector_set import thresholds

    if (model is None) != (data is None) or (out is not None and data is None):
        raise ParameterError("to set new thresholds give both --model and --data (and --out for another folder)")
    unread: dict[str, Any] = {}
    if model is not None and data is not None:
        with progress(session):
            detector_set = set_thresholds(
                detectors, model, data, limit=limit, seed=seed, workers=workers, device=device, download=download
            )
            detector_set.save(out or detectors)
            unread = detector_set.about["unread"]
    _show(session, thresholds(out or detectors, USUAL if accept is None else accept), json)
    for bad in unread.get("first", ()):
        typer.echo(f"bad sample {printable(bad)}", err=True)
    return BAD_SAMPLES if unread.get("samples") else 0


@app.command("drift")
@verb
def drift(
    session: Session,
    run: Run,
    window: opt.Window = 100,
    promised: opt.Promised = 0.9,
    alpha: opt.Alpha = 0.01,
    json: Json = False,
) -> int:
    """Check whether the share of accepted samples drops over the course of a run.

    Exit codes: 0 no alarm, 1 a detector accepts significantly less than promised, 2 wrong use or bad input.
    """
    from unshaken.detect.engine.over_time import over_time
    from unshaken.store.run_dir import RunDir

    found = over_time(RunDir(run), window=window, promised=promised, alpha=alpha)
    if json:
        record = {n: {"alarm": one.alarm, "windows": [asdict(w) for w in one.windows]} for n, one in found.items()}
        print_json({"promised": promised, "alpha": alpha, "detectors": record})
    elif not session.quiet:
        for label, one in found.items():
            shares = [f"{w.share.value:.1%}" for w in one.windows]
            alarm = "no alarm" if one.alarm is None else f"ALARM at sample {one.alarm + 1}"
            console().print(f"{label}: {alarm}; accepted by windows of {window}: {', '.join(shares)}", soft_wrap=True)
    return GATE_FAILED if any(one.alarm is not None for one in found.values()) else 0


def _show_result(session: Session, detector_set: DetectorSet, accept: float, json: bool) -> None:
    _show(session, {label: detector_set.threshold(label, accept) for label in detector_set.detectors}, json)


def _show(session: Session, found: dict[str, Any], json: bool) -> None:
    from unshaken.report.summary import finite

    if json:
        print_json({label: {**asdict(one), "value": finite(one.value)} for label, one in found.items()})
    elif not session.quiet:
        rows = [(label, f"{t.value:.6g}", f"{t.n:,}", t.guarantee) for label, t in found.items()]
        console().print(table(["detector", "threshold", "set by", "promise"], rows, right=(1, 2)))
