"""`unshaken detect fit|mark|score|threshold|drift`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unshaken.cli.advice import epilog
from unshaken.cli.complete import complete_methods
from unshaken.cli.names import check_method
from unshaken.cli.options import (
    Accept,
    AllowCode,
    BatchSize,
    Data,
    Detectors,
    Device,
    Download,
    Json,
    Limit,
    Model,
    Run,
    Seed,
    Workers,
)
from unshaken.cli.runs import BAD_SAMPLES, FEW, GATE_FAILED, make_run
from unshaken.cli.session import Session, progress
from unshaken.cli.show import console, print_json, print_line, printable, table
from unshaken.cli.verb import group, verb
from unshaken.core.options import (
    COUNT,
    DETECTOR_RECORDS,
    DETECTORS,
    SHARE,
    Option,
    Options,
    OutputFile,
    OutputFolder,
)

if TYPE_CHECKING:
    from unshaken.detect.engine.fitting import Fit


app = group("detect", help="Detect abnormal, adversarial, generated or unsafe inputs.")

USUAL = 0.95
"""Minimum share of normal images to accept."""


@app.command("mark")
@verb(python="api.mark")
def mark(
    session: Session,
    data: Data,
    method: Annotated[
        str,
        Option(
            "A watermark: spread-spectrum or dct, whose parameters are the key, or with --detectors a fitted one.",
            "NAME[:k=v,...]",
            read=check_method("detect"),
        ),
    ],
    out: Annotated[str, OutputFolder("Folder for the PNG files.", "DIR", records=("marked.json",))],
    detectors: Annotated[
        str | None, Option("Folder of 'detect fit' with the trained networks of a learned-watermark.", "DETECTORS")
    ] = None,
    limit: Annotated[int | None, Option("Images at most: seeded, stratified.", "N")] = None,
    seed: Annotated[int, Option("Decides which images --limit takes.", "S")] = 0,
    download: Download = False,
) -> int:
    """Set a watermark on images, as PNG files that 'folder:DIR' reads as data.

    The detector of the same name and parameters finds them. Exit codes: 0 success, 2 wrong usage or bad input.
    """
    from unshaken.api.mark import RECORD
    from unshaken.api.mark import mark as set_mark

    with progress(session):
        folder = set_mark(data, method, out=out, detectors=detectors, limit=limit, seed=seed, download=download)
    print_line(f"images: {out} ({len(folder.read_json(RECORD)['images'])} PNG files)")
    return 0


@app.command("fit", epilog=epilog("detect"))
@verb(first="model data method out accept limit", python="detect.fit")
def fit(
    session: Session,
    model: Model,
    data: Data,
    out: Annotated[str, OutputFolder("Folder to write the detectors to.", "DETECTORS", records=DETECTOR_RECORDS)],
    method: Annotated[
        list[str] | None,
        Option(
            f"Detector, e.g. knn:k=50; see 'unshaken list detect'. May be repeated. Default: {', '.join(DETECTORS)}.",
            "NAME[:k=v,...]",
            complete=complete_methods("detect"),
            read=check_method("detect"),
        ),
    ] = None,
    keep: Annotated[
        int, Option("Maximum number of samples to keep for nearest-neighbour search.", "N", COUNT)
    ] = 20_000,
    tune: Annotated[int, Option("Maximum number of samples for tuning scales and weights.", "N", COUNT)] = 500,
    calibration: Annotated[float, Option("Share of the data that is used to set thresholds.", "SHARE", SHARE)] = 0.2,
    accept: Accept = None,
    limit: Limit = None,
    seed: Seed = 0,
    batch_size: BatchSize = "auto",
    workers: Workers = None,
    device: Device = "auto",
    download: Download = False,
    json: Json = False,
) -> int:
    """Fit detectors of abnormal inputs on normal data, in one pass over it.

    Exit codes: 0 success, 2 wrong usage or bad input, 3 finished, but some samples could not be used.
    """
    from unshaken.detect import Shares
    from unshaken.detect import fit as fitted

    with progress(session):
        done = fitted(
            model,
            data,
            method or DETECTORS,
            shares=Shares(keep, tune, calibration),
            accept=accept,
            seed=seed,
            limit=limit,
            batch_size=batch_size,
            workers=workers,
            device=device,
            download=download,
        )
        done.save(out)
    fitted_set = done.detector_set
    _show(session, {label: fitted_set.threshold(label, accept or USUAL) for label in fitted_set.detectors}, json)
    if not json:
        print_line(f"detectors: {out}")
    if done.labels:
        typer.echo(f"labels: {printable(done.labels)}", err=True)
    for flag in done.flags:
        typer.echo(f"flag {flag.name}: {printable(flag.detail)}", err=True)
    for bad in done.bad_samples[:FEW]:
        typer.echo(f"bad sample {printable(str(bad))}", err=True)
    return BAD_SAMPLES if done.bad_samples else 0


@app.command("score", epilog=epilog("detect"))
@verb(first="model data detectors against limit out", python="detect")
def score(
    session: Session,
    options: Options,
    model: Model,
    data: Data,
    detectors: Annotated[
        str | None, Option("Folder written by 'unshaken detect fit'. Either this or --fit.", "DETECTORS")
    ] = None,
    fit: Annotated[
        str | None, Option("Normal images to fit detectors on first; they are kept in the run.", "SPEC")
    ] = None,
    method: Annotated[
        list[str] | None,
        Option(
            f"Detector that --fit fits, e.g. knn:k=50. May be repeated. Default: {', '.join(DETECTORS)}.",
            "NAME[:k=v,...]",
            complete=complete_methods("detect"),
            read=check_method("detect"),
        ),
    ] = None,
    accept: Accept = None,
    against: Annotated[
        list[str] | None,
        Option("Abnormal images to score, e.g. far=mnist or near/dogs=folder:DOGS. May be repeated.", "GROUP=SPEC"),
    ] = None,
    shift: Annotated[
        list[str] | None,
        Option("Also score the images under this corruption, e.g. gaussian_noise-3. May be repeated.", "NAME-SEVERITY"),
    ] = None,
    attacked: Annotated[
        bool,
        Option(
            "Also attack the model and each detector together (an adaptive attack).", flags="--attacked/--not-attacked"
        ),
    ] = True,
    attack: Annotated[
        str,
        Option(
            "Attack for --attacked.", "NAME[:k=v,...]", complete=complete_methods("attack"), read=check_method("attack")
        ),
    ] = "pgd:steps=20,rel_stepsize=0.1",
    norm: Annotated[str, Option("Norm of the attack's perturbation.", "linf|l2|l1")] = "linf",
    eps: Annotated[
        list[str] | None, Option("Maximum size of the attack's perturbation. Default: 8/255. May be repeated.", "E")
    ] = None,
    samples: Annotated[int, Option("Maximum number of samples to attack.", "N", COUNT)] = 50,
    openood: Annotated[
        str | None, OutputFile("Also write the figures of --against as OpenOOD's table, a CSV file.", "FILE")
    ] = None,
    json: Json = False,
) -> int:
    """Score images with detectors, in one pass of the model, and write a report.

    With --fit the detectors are fitted first and kept in the run's folder 'detectors'.

    Exit codes: 0 success, 1 a gate failed, 2 wrong usage or bad input, 3 finished, but some samples were unreadable.
    """
    from unshaken import api
    from unshaken.core.errors import ParameterError

    if (detectors is None) == (fit is None):
        raise ParameterError("give either --detectors of 'unshaken detect fit', or --fit with normal images")
    if method and fit is None:
        raise ParameterError("--method goes with --fit; fitted detectors are those of their folder")
    if openood is not None and not against:
        raise ParameterError("--openood needs abnormal images: --against near/NAME=SPEC --against far/NAME=SPEC")

    def start(o: Options) -> api.Audit:
        from unshaken.api.detect import fit_for_run

        given: str | Fit = str(detectors)
        if fit is not None:
            given = fit_for_run(model, data, fit, method or DETECTORS, o, accept=accept, against=against or ())
        done = api.detect(
            model, data, given, accept=accept, against=against or (), shifts=shift or (), attacked=attacked,
            attack=attack, norm=norm, eps=eps or "8/255", samples=samples, **o,
        )  # fmt: skip
        if openood is not None:
            api.export_runs(done.run, form="openood", out=openood)
        return done

    code = make_run(session, options, api.default_out(model, data, "detect"), json, start)
    if openood is not None and not (json or session.quiet):
        print_line(f"table: {openood}")
    return code


@app.command("threshold")
@verb(first="detectors accept model data limit out", python="api.set_thresholds")
def threshold(
    session: Session,
    detectors: Detectors,
    accept: Accept = None,
    model: Annotated[str | None, Option("Model that the detectors were fitted on (with --data).", "SPEC")] = None,
    data: Annotated[str | None, Option("Normal images to set new thresholds on.", "SPEC")] = None,
    out: Annotated[
        str | None,
        OutputFolder(
            "Folder for the detectors with new thresholds (with --data). Default: --detectors.",
            "DETECTORS",
            records=DETECTOR_RECORDS,
        ),
    ] = None,
    limit: Limit = None,
    seed: Seed = 0,
    workers: Workers = None,
    device: Device = "auto",
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
                model, data, detectors, limit=limit, seed=seed, workers=workers, device=device, download=download
            )
            detector_set.save(out or detectors)
            unread = detector_set.about["unread"]
    _show(session, thresholds(out or detectors, USUAL if accept is None else accept), json)
    for bad in unread.get("first", ()):
        typer.echo(f"bad sample {printable(bad)}", err=True)
    return BAD_SAMPLES if unread.get("samples") else 0


@app.command("drift")
@verb()
def drift(
    session: Session,
    run: Run,
    window: Annotated[int, Option("Number of samples per window.", "N", COUNT)] = 100,
    promised: Annotated[float, Option("Minimum share of samples that should be accepted.", "SHARE", SHARE)] = 0.9,
    alpha: Annotated[float, Option("Probability of a false alarm over the whole run.", "P", SHARE)] = 0.01,
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


def _show(session: Session, found: dict[str, Any], json: bool) -> None:
    from unshaken.report.summary import finite

    if json:
        print_json({label: {**asdict(one), "value": finite(one.value)} for label, one in found.items()})
    elif not session.quiet:
        rows = [(label, f"{t.value:.6g}", f"{t.n:,}", t.guarantee) for label, t in found.items()]
        console().print(table(["detector", "threshold", "set by", "promise"], rows, right=(1, 2)))
