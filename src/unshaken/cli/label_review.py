"""`unshaken labels review`: serves the review of a search for wrong labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from unshaken.cli.listen import listen, split_names
from unshaken.cli.options import AllowCode, Browser, Database, Download, Host, Port, Readers, ReviewName, Run
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import shorten
from unshaken.core.options import Option

if TYPE_CHECKING:
    from unshaken.serve.review.records import Review
    from unshaken.serve.review.store import ReviewStore


@verb
def review(
    run: Run,
    db: Database = None,
    name: ReviewName = "review",
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
    with open_store(run, db) as store:
        found = _begun(
            store, run, name, items, blind, per_item or (2 if names else 1), given=per_item, download=download
        )

        def started(address: str) -> str:
            done = store.progress(name).done
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
    """The review of this name; it is made where there is none.

    Raises:
        ParameterError: it was begun with other rules.
    """
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
            "--per-item away, or choose another --name"
        )
    return found
