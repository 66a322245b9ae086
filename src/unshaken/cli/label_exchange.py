"""`unshaken labels export|import|agree`: what a review found, and verdicts from other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from unshaken.cli.label_review import open_store
from unshaken.cli.options import AllowCode, Database, Json, ReviewName, Run
from unshaken.cli.session import Session
from unshaken.cli.show import print_json, print_line
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import shorten
from unshaken.core.options import Argument, Option

if TYPE_CHECKING:
    from unshaken.measure import Figure
    from unshaken.serve.review.exchange import Format


@verb
def export(
    session: Session,
    run: Run,
    out: Annotated[str, Option("File to write.", "FILE")],
    format: Annotated[
        str,
        Option(
            "Kind of file: csv, cleanlab (.npz), label-studio, fiftyone; for export also overlay (for ?labels=FILE) "
            "and parquet (the whole data with its labels corrected).",
            "NAME",
        ),
    ] = "csv",
    version: Annotated[str | None, Option("Named version of the labels. Default: as they are now.", "NAME")] = None,
    db: Database = None,
    name: ReviewName = "review",
    allow_code: AllowCode = None,
) -> int:
    """Write the labels of a review to a file: for spreadsheets, cleanlab, Label Studio, FiftyOne, or `?labels=FILE`."""
    from unshaken.serve.review.exchange import export_review

    with open_store(run, db) as store:
        found = export_review(store, name, _format(format), Path(out), version=version)
    if not session.quiet:
        print_line(f"{len(found.outcome.labels):,} reviewed labels, version {found.outcome.version}: {out}")
        if found.written is not None:
            print_line(f"whole data set: {found.written}")
    return 0


@verb
def import_(
    session: Session,
    run: Run,
    file: Annotated[str, Argument("File of verdicts.", "FILE")],
    format: Annotated[
        str,
        Option(
            "Kind of file: csv, cleanlab (.npz), label-studio, fiftyone; for export also overlay (for ?labels=FILE) "
            "and parquet (the whole data with its labels corrected).",
            "NAME",
        ),
    ] = "csv",
    reader: Annotated[str | None, Option("Reader of answers whose reader the file does not say.", "NAME")] = None,
    db: Database = None,
    name: ReviewName = "review",
) -> int:
    """Append verdicts of a file (csv, cleanlab, label-studio or fiftyone) to a review, all of them or none."""
    from unshaken.serve.review.exchange import import_verdicts

    with open_store(run, db) as store:
        total, added = import_verdicts(store, name, _format(format), Path(file), reader=reader)
    if not session.quiet:
        print_line(f"{added:,} verdicts added, {total - added:,} of the file were in the review already")
    return 0


@verb
def agree(session: Session, run: Run, db: Database = None, name: ReviewName = "review", json: Json = False) -> int:
    """Show how far the readers of a review agree, by each one's first answer to each item."""
    from unshaken.labels.review.agreement import agreement_of

    with open_store(run, db) as store:
        found = agreement_of([one.independent for one in store.labels_at(name)])
    if json:
        print_json(found.to_json())
        return 0
    print_line(f"items with two answers or more: {found.items:,}")
    print_line(f"Krippendorff's alpha: {_shown(found.alpha)}")
    for pair in found.pairs:
        names = " and ".join(pair.readers)
        print_line(f"{names}: {pair.same:,} of {pair.items:,} the same, Cohen's kappa {_shown(pair.kappa)}")
    for reader, value in found.accuracy.items():
        print_line(f"{reader}: {value:.1%} of the answers right, by Dawid and Skene's estimate")
    return 0


def _shown(figure: Figure | None) -> str:
    if figure is None:
        return "undefined"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f}, {figure.interval})"


def _format(name: str) -> Format:
    from unshaken.serve.review.exchange import Format

    names = [one.value for one in Format]
    if name not in names:
        raise ParameterError(f"format {shorten(name)} is not known; {did_you_mean(name, names)}")
    return Format(name)
