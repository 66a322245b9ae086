"""`unshaken labels find`."""

from __future__ import annotations

from typing import Annotated

import typer

from unshaken.cli.options import AllowCode, Data, Download, Json
from unshaken.cli.outcome import BAD_SAMPLES, FEW
from unshaken.cli.progress import progress
from unshaken.cli.session import Session
from unshaken.cli.show import print_json, print_line, printable
from unshaken.cli.values import COUNT, LIMIT, SEED, WORKERS
from unshaken.cli.verb import verb

app = typer.Typer(name="labels", help="Find wrong labels and estimate how many there are.")

LEAST_FOLDS, MOST_FOLDS = 2, 100


@app.callback()
def labels() -> None:
    """Find wrong labels and estimate how many there are."""


@app.command("find")
@verb
def find(
    session: Session,
    data: Data,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:k=v,...]",
            help="Method; see 'unshaken list labels'. May be repeated; the first decides what is reviewed. "
            "Default: confident-learning.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="ARCH|SPEC",
            help="Architecture to cross-validate, or a trained model whose features are frozen.",
        ),
    ] = "small-cnn",
    probs: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Out-of-sample probabilities instead: .npy [N, K] in the order of the data, or .parquet with the "
            "columns id and p_CLASS.",
            show_default=False,
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option(metavar="N", min=LEAST_FOLDS, max=MOST_FOLDS, help="Number of cross-validation folds.")
    ] = 5,
    epochs: Annotated[int, typer.Option(metavar="N", **COUNT, help="Training epochs per fold.")] = 12,
    review: Annotated[
        int, typer.Option(metavar="N", min=0, max=1_000_000, help="Number of samples to draw for review; 0 for none.")
    ] = 200,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N", **LIMIT, help="Maximum number of samples (a stratified random subset).", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", **SEED, help="Random seed.")] = 0,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="Run directory.", show_default=False)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in --out.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", **WORKERS, help="Number of threads that decode images. Default: number of cores.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Device to run on.")] = "auto",
    download: Download = False,
    allow_code: AllowCode = None,
    json: Json = False,
) -> int:  # fmt: skip
    """Find labels that are probably wrong, and draw the sample that tells how many there are.

    Exit codes: 0 success, 2 wrong usage or bad input, 3 finished, but some samples were unreadable.
    """
    from unshaken.api.labels import find_labels

    with progress(session):
        result = find_labels(
            data, method or "confident-learning", model=model, probabilities=probs, folds=folds, review=review,
            limit=limit, out=out, resume=resume, device=device, workers=workers, download=download, epochs=epochs,
            seed=seed,
        )  # fmt: skip
    record = result.record
    if json:
        print_json(record)
    elif not session.quiet:
        for name, one in record["found"].items():
            wrong = "ranked" if one["flagged"] is None else f"{one['flagged']:,} of {record['samples']:,} flagged"
            share = f"; estimated share wrong: {one['noise_rate']:.1%}" if "noise_rate" in one else ""
            print_line(f"{name}: {wrong}{share}")
        if record["review"]:
            print_line(f"to review: {len(record['review']['ids']):,} samples, listed in {result.run}/labels.json")
    if not json:
        print_line(f"report: {result.run}/report.html")
    for bad in record["bad_samples"][:FEW]:
        typer.echo(f"bad sample {printable(bad['id'])}: {printable(bad['reason'])}", err=True)
    return BAD_SAMPLES if record["bad_samples"] else 0
