"""`unshaken labels review`: serves the review of a search for wrong labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from unshaken.cli.options import review as opt
from unshaken.cli.options.shared import Download, Run
from unshaken.cli.session import Session
from unshaken.cli.show import print_line
from unshaken.cli.verb import verb
from unshaken.core.errors import ParameterError, did_you_mean
from unshaken.core.numbers import shorten

if TYPE_CHECKING:
    from unshaken.serve.review.records import Review
    from unshaken.serve.review.store import ReviewStore

LOCAL = "local"
"""The only reader of a server that asks for no log-in."""


@verb
def review(
    session: Session,
    run: Run,
    db: opt.Database = None,
    name: opt.Name = "review",
    items: opt.Items = None,
    readers: opt.Readers = None,
    blind: opt.Blind = None,
    per_item: opt.PerItem = None,
    host: opt.Host = "127.0.0.1",
    port: opt.Port = 8765,
    browser: opt.Browser = False,
    download: Download = False,
) -> int:
    """Serve the review of labels in DIR to people, until Ctrl-C: find, then review, then estimate and export.

    A second call resumes the review. Needs the extra serve.
    """
    from unshaken.serve.app import create_app
    from unshaken.serve.review.part import review_part
    from unshaken.serve.run import LOOPBACK, is_loopback, serve

    names = [part.strip() for part in readers.split(",") if part.strip()] if readers else []
    with open_store(run, db) as store:
        found = _begun(
            store, run, name, items, blind, per_item or (2 if names else 1), given=per_item, download=download
        )
        for one in names:
            if one not in store.readers():
                print_line(f"token of {one}, shown only now: {store.add_reader(one)}")
        local = is_loopback(host) and not names
        if local:
            store.ensure_reader(LOCAL)
        elif not names and not [one for one in store.readers() if one != LOCAL]:
            raise ParameterError(
                f"host {host} can be reached by others, so readers need tokens: name them by --readers"
            )
        app = create_app(
            [review_part(store)],
            readers=store,
            local=LOCAL if local else None,
            hosts={*LOOPBACK, host} if local else None,
        )

        def ready(address: str) -> None:
            done = store.progress(name).done
            print_line(f"{found.items:,} labels to review, {done:,} done: {address}  (Ctrl-C ends)")
            if browser:
                typer.launch(address)

        serve(app, host=host, port=port, ready=ready)
    return 0


def open_store(run: str, db: str | None) -> ReviewStore:
    """The store of a run's reviews.

    Args:
        run: its directory.
        db: address of another database, or None.
    """
    from unshaken.run import RunDir
    from unshaken.serve.review.store import ReviewStore

    folder = RunDir(run)
    if db is None and "://" in str(folder.path):
        raise ParameterError(f"{run} is not on this machine: name a database by --db")
    return ReviewStore.open(db or f"{folder.path}/{opt.DATABASE}")


def _begun(
    store: ReviewStore, run: str, name: str, items: str | None, blind: bool | None, per_item: int, *,
    given: int | None, download: bool,
) -> Review:  # fmt: skip
    """The review of this name; it is made where there is none.

    Raises:
        ParameterError: it was begun with other rules.
    """
    from unshaken.run import RunDir
    from unshaken.serve.review.from_run import Choice, create_from_run

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
