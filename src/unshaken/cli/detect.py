"""`unshaken detect fit|mark|score|threshold|drift`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unshaken.cli.advice import epilog
from unshaken.cli.complete import complete_detector
from unshaken.cli.mark import mark
from unshaken.cli.options import Data, Download, Json, Model, Run, RunOptions
from unshaken.cli.outcome import BAD_SAMPLES, FEW, GATE_FAILED, make_run
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import console, print_json, print_line, printable, table
from unshaken.cli.values import COUNT, LIMIT, SEED, SHARE, WORKERS
from unshaken.cli.verb import verb
from unshaken.core.numbers import LARGEST_BATCH

if TYPE_CHECKING:
    from unshaken.detect import DetectorSet

app = typer.Typer(
    name="detect", help="Detect abnormal, adversarial, generated or unsafe inputs.", epilog=epilog("detect")
)

USUAL = 0.95
"""Minimum share of normal images to accept."""
DEFAULT = ("msp", "max-logit", "energy", "knn", "vim", "mahalanobis")

app.command("mark")(mark)

Detectors = Annotated[
    str, typer.Option(metavar="DETECTORS", help="Folder written by 'unshaken detect fit'.", show_default=False)
]
Accept = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE", **SHARE, help="Share of normal images that is accepted at least (0.95).", show_default=False
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        metavar="N", **LIMIT, help="Maximum number of samples (a stratified random subset).", show_default=False
    ),
]
Seed = Annotated[int, typer.Option(metavar="S", **SEED, help="Random seed.")]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Device to run on.")]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        **WORKERS,
        help="Number of threads that decode images. Default: number of cores.",
        show_default=False,
    ),
]


@app.command("fit", epilog=epilog("detect"))
@verb
def fit(
    session: Session,
    model: Model,
    data: Data,
    out: Annotated[
        str, typer.Option(metavar="DETECTORS", help="Folder to write the detectors to.", show_default=False)
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:k=v,...]",
            help="Detector, e.g. knn:k=50; see 'unshaken list detect'. May be repeated. "
            f"Default: {', '.join(DEFAULT)}.",
            autocompletion=complete_detector,
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        int, typer.Option(metavar="N", **COUNT, help="Maximum number of samples to keep for nearest-neighbour search.")
    ] = 20_000,
    tune: Annotated[
        int, typer.Option(metavar="N", **COUNT, help="Maximum number of samples for tuning scales and weights.")
    ] = 500,
    calibration: Annotated[
        float, typer.Option(metavar="SHARE", **SHARE, help="Share of the data that is used to set thresholds.")
    ] = 0.2,
    accept: Accept = None,
    limit: Limit = None,
    seed: Seed = 0,
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=LARGEST_BATCH,
            help="Maximum number of images in one forward pass.",
            show_default=False,
        ),
    ] = None,
    workers: Workers = None,
    device: Device = "auto",
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
            list(method or DEFAULT),
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
    detectors: Detectors,
    accept: Accept = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GROUP=SPEC",
            help="Abnormal images to score, e.g. far=mnist or near/dogs=folder:DOGS. May be repeated.",
            show_default=False,
        ),
    ] = None,
    shift: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME-SEVERITY",
            help="Also score the images under this corruption, e.g. gaussian_noise-3. May be repeated.",
            show_default=False,
        ),
    ] = None,
    attacked: Annotated[
        bool,
        typer.Option(
            "--attacked/--not-attacked", help="Also attack the model and each detector together (an adaptive attack)."
        ),
    ] = True,
    attack: Annotated[
        str, typer.Option(metavar="NAME[:k=v,...]", help="Attack for --attacked.")
    ] = "pgd:steps=20,step_size=0.1",
    norm: Annotated[str, typer.Option(metavar="linf|l2|l1", help="Norm of the attack's perturbation.")] = "linf",
    eps: Annotated[
        list[str] | None,
        typer.Option(
            metavar="E",
            help="Maximum size of the attack's perturbation. Default: 8/255. May be repeated.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[int, typer.Option(metavar="N", **COUNT, help="Maximum number of samples to attack.")] = 50,
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
    detectors: Detectors,
    accept: Accept = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Model that the detectors were fitted on (with --data).", show_default=False),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Normal images to set new thresholds on.", show_default=False),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DETECTORS",
            help="Folder for the detectors with new thresholds (with --data). Default: --detectors.",
            show_default=False,
        ),
    ] = None,
    limit: Limit = None,
    seed: Seed = 0,
    workers: Workers = None,
    device: Device = "auto",
    download: Download = False,
    json: Json = False,
) -> int:
    """Show the detectors' thresholds and their guarantees; with --data, set them on other normal images."""
    from unshaken.api import set_thresholds
    from unshaken.core.errors import ParameterError
    from unshaken.detect.engine.detector_set import thresholds

    if (model is None) != (data is None) or (out is not None and data is None):
        raise ParameterError("to set new thresholds give both --model and --data (and --out for another folder)")
    if model is not None and data is not None:
        with progress(session):
            detector_set = set_thresholds(
                detectors, model, data, limit=limit, seed=seed, workers=workers, device=device, download=download
            )
            detector_set.save(out or detectors)
    _show(session, thresholds(out or detectors, USUAL if accept is None else accept), json)
    return 0


@app.command("drift")
@verb
def drift(
    session: Session,
    run: Run,
    window: Annotated[int, typer.Option(metavar="N", **COUNT, help="Number of samples per window.")] = 100,
    promised: Annotated[
        float, typer.Option(metavar="SHARE", **SHARE, help="Minimum share of samples that should be accepted.")
    ] = 0.9,
    alpha: Annotated[
        float, typer.Option(metavar="P", **SHARE, help="Probability of a false alarm over the whole run.")
    ] = 0.01,
    json: Json = False,
) -> int:
    """Check whether the share of accepted samples drops over the course of a run.

    Exit codes: 0 no alarm, 1 a detector accepts significantly less than promised, 2 wrong use or bad input.
    """
    from unshaken.detect.engine.over_time import over_time
    from unshaken.run import RunDir

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
