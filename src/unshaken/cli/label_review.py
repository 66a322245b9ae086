"""`unshaken labels review|export|import|agree|compare`: people's verdicts on labels, and what they changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from unshaken.cli.options import AllowCode, Browser, Database, Download, Host, Json, Port, Readers, ReviewName, Run
from unshaken.cli.serve import listen, split_names
from unshaken.cli.session import Session
from unshaken.cli.show import print_json, print_line, print_page
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import shorten
from unshaken.core.options import LABEL_VERSION_RECORDS, Argument, Option, OutputFile, OutputFolder

if TYPE_CHECKING:
    from unshaken.measure import Figure
    from unshaken.serve.review.exchange import Format
    from unshaken.serve.review.records import Review
    from unshaken.serve.review.store import ReviewStore


@verb(first="items readers per-item blind port host")
def review(
    run: Run,
    db: Database = None,
    review_name: ReviewName = "review",
    items: Annotated[
        str | None,
        Option(
            "Labels to review: the drawn sample, those flagged, or all, the most suspect first. Default: sample.",
            "sample|flagged|all",
        ),
    ] = None,
    readers: Readers = None,
    blind: Annotated[
        bool | None,
        Option(
            "Hide the model's suggestion until a reader's first verdict, or never. Default: hide.",
            flags="--blind/--open",
        ),
    ] = None,
    per_item: Annotated[
        int | None,
        Option("Number of readers who must answer each item. Default: 2 with --readers, else 1.", "N", (1, 100)),
    ] = None,
    assign: Annotated[
        int | None,
        Option(
            "Divide the items among --readers, each to N of them, who see theirs first. Again with other readers: what "
            "those who left have not read goes to them.",
            "N",
            (1, 100),
        ),
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 8765,
    browser: Browser = False,
    download: Download = False,
    allow_code: AllowCode = None,
) -> int:
    """Serve the review of labels in DIR to people, until Ctrl-C: find, then review, then estimate and export.

    A second call resumes the review. Needs the extra serve.
    """
    from unshaken.serve.review.part import review_part

    names = split_names(readers)
    if assign is not None and assign > len(names):
        raise ParameterError(f"--assign {assign} needs as many --readers, and there are {len(names)}: name more")
    with open_store(run, db) as store:
        found = _begun(
            store, run, review_name, items, blind, per_item or (2 if names else 1), given=per_item, download=download
        )
        if assign is not None:
            for name in names:
                store.ensure_reader(name)
            store.assign(review_name, names, per_item=assign)

        def started(address: str) -> str:
            done = store.progress(review_name).done
            return f"{found.items:,} labels to review, {done:,} done: {address}  (Ctrl-C ends)"

        listen([review_part(store)], store, readers=names, host=host, port=port, started=started, browser=browser)
    return 0


def open_store(run: str, db: str | None) -> ReviewStore:
    """The store of a run's reviews.

    Args:
        run: its directory.
        db: address of another database, or None.
    """
    from unshaken.serve.review.store import ReviewStore
    from unshaken.store.run_dir import RunDir

    folder = RunDir(run)
    if db is None and "://" in str(folder.path):
        raise ParameterError(f"{run} is not on this machine: name a database by --db")
    return ReviewStore.open(db or f"{folder.path}/review.db")


def _begun(
    store: ReviewStore, run: str, name: str, items: str | None, blind: bool | None, per_item: int, *,
    given: int | None, download: bool,
) -> Review:  # fmt: skip
    """The review of this name, made where there is none; refused where it was begun with other rules."""
    from unshaken.serve.review.from_run import Choice, create_from_run
    from unshaken.store.run_dir import RunDir

    if name not in [one.name for one in store.reviews()]:
        choices = [choice.value for choice in Choice]
        if items is not None and items not in choices:
            raise ParameterError(f"items {shorten(items)} is no choice; {did_you_mean(items, choices)}")
        return create_from_run(
            store, RunDir(run), name, choice=Choice(items or "sample"), blind=blind is not False,
            readers_per_item=per_item, download=download,
        )  # fmt: skip
    found = store.review(name)
    if items is not None or blind not in (None, found.blind) or given not in (None, found.readers_per_item):
        raise ParameterError(
            f"the review {name!r} was begun already, with its own items and rules: leave --items, --blind, --open and "
            "--per-item away, or choose another --review-name"
        )
    return found


@verb()
def export(
    session: Session,
    run: Run,
    out: Annotated[str, OutputFile("File to write.", "FILE")],
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
    review_name: ReviewName = "review",
    allow_code: AllowCode = None,
) -> int:
    """Write the labels of a review to a file: for spreadsheets, cleanlab, Label Studio, FiftyOne, or `?labels=FILE`."""
    from unshaken.serve.review.exchange import export_review

    with open_store(run, db) as store:
        found = export_review(store, review_name, _format(format), Path(out), version=version)
    if not session.quiet:
        print_line(f"{len(found.outcome.labels):,} reviewed labels, version {found.outcome.version}: {out}")
        if found.written is not None:
            print_line(f"whole data set: {found.written}")
    return 0


@verb()
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
    review_name: ReviewName = "review",
) -> int:
    """Append verdicts of a file (csv, cleanlab, label-studio or fiftyone) to a review, all of them or none."""
    from unshaken.serve.review.exchange import import_verdicts

    with open_store(run, db) as store:
        total, added = import_verdicts(store, review_name, _format(format), Path(file), reader=reader)
    if not session.quiet:
        print_line(f"{added:,} verdicts added, {total - added:,} of the file were in the review already")
    return 0


@verb()
def agree(
    session: Session, run: Run, db: Database = None, review_name: ReviewName = "review", json: Json = False
) -> int:
    """Show how far the readers of a review agree, by each one's first answer to each item."""
    from unshaken.labels.review.protocol import agreement_of

    with open_store(run, db) as store:
        found = agreement_of([one.independent for one in store.labels_at(review_name)])
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


@verb()
def compare(
    session: Session,
    labels: Annotated[str, Argument("Labels after the review: FILE of labels export.", "LABELS")],
    directories: Annotated[list[str] | None, Argument("Audits of models on the reviewed data.", "[DIR ...]")] = None,
    review: Annotated[
        str | None,
        Option(
            "Search for wrong labels whose review made LABELS: adds reasons, agreement and the share of wrong "
            "labels that labels estimate found.",
            "DIR",
        ),
    ] = None,
    review_name: ReviewName = "review",
    db: Database = None,
    before: Annotated[
        list[str] | None,
        Option("Audit, on other images, of a network trained on the labels before; repeatable.", "DIR"),
    ] = None,
    after: Annotated[
        list[str] | None, Option("The same of one trained on LABELS; one for each --before.", "DIR")
    ] = None,
    out: Annotated[
        str | None, OutputFolder("Folder for a report and the figures.", "DIR", records=LABEL_VERSION_RECORDS)
    ] = None,
    json: Json = False,
) -> int:
    """Show what correcting labels changed: how many and why, and models before and after, on the same samples."""
    from unshaken.api.label_record import read_estimate
    from unshaken.api.label_versions import compare_labels
    from unshaken.report.pages.label_versions import LABEL_VERSIONS, Corrections
    from unshaken.store.run_dir import RunDir

    pairs = before or [], after or []
    if len(pairs[0]) != len(pairs[1]):
        raise ParameterError(f"{len(pairs[0])} --before and {len(pairs[1])} --after: give audits in pairs")
    outcome, wrong = None, None
    if review is not None:
        from unshaken.serve.review.exchange import outcome_of  # needs the extra serve

        with open_store(review, db) as store:
            outcome, wrong = outcome_of(store, review_name, labels), read_estimate(RunDir(review))
    found = compare_labels(
        labels, *(directories or []), review=outcome, wrong=wrong, retrained=list(zip(*pairs, strict=True)), out=out
    )
    if json:
        print_json(found.record)
    elif not session.quiet:
        print_page(LABEL_VERSIONS.page(Corrections(found.record)))
    if out is not None and not json:
        print_line(f"report: {out.rstrip('/')}/report.html")
    return 0
