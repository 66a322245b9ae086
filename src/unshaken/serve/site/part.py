"""`open_site`: the pages of runs as parts of a server."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path

from unshaken.core.cache import cache_dir
from unshaken.core.errors import UnshakenError
from unshaken.serve.app import Part
from unshaken.serve.review.part import review_part
from unshaken.serve.review.store import ReviewStore
from unshaken.serve.site.index import RunIndex
from unshaken.serve.site.jobs import JobRecords, Jobs
from unshaken.serve.site.listing import makes_board
from unshaken.serve.site.pages import board, jobs, model, run, runs, samples
from unshaken.serve.site.state import Site
from unshaken.store.run_dir import RunDir

log = logging.getLogger(__name__)
EVERY = 30.0
"""Seconds between two looks at the directories."""


@contextmanager
def open_site(
    directories: Sequence[str], db: str | None = None, *, allow: Sequence[str] = (), read_only: bool = False
) -> Iterator[Site]:
    """Open a place to look at every run below some folders. Jobs that it started end with it.

    Args:
        directories: folders or fsspec addresses that hold runs; runs that are started go to the first on this machine.
        db: address of the database of the list, the readers and their reviews; None for a file in the cache.
        allow: SPECs that started runs may use, besides those of the listed runs.
        read_only: nothing is changed or started.

    Raises:
        ParameterError: the address of the database is of another form.
        RunError: the database cannot be opened.
    """
    url = db
    if not url:
        cache = cache_dir() / "serve"
        cache.mkdir(parents=True, exist_ok=True)
        places = sorted(RunDir(directory).root for directory in directories)
        digest = hashlib.blake2b("\n".join(places).encode(), digest_size=8).hexdigest()
        url = str(cache / f"{digest}.db")
    with ExitStack() as stack:
        store = stack.enter_context(ReviewStore.open(url))
        index = stack.enter_context(RunIndex(url, directories))
        local = (run.root for run in map(RunDir, directories) if run.local)
        folder = Path(next(local, "runs"))
        started = None if read_only else Jobs(folder, records=JobRecords(index, os.path.abspath(folder)))
        if started is not None:
            stack.callback(started.close)
        yield stack.enter_context(closing(Site(index, store, started, tuple(allow))))


def site_parts(site: Site) -> list[Part]:
    """The pages of a site, and of the reviews that it holds; none of these where nothing may be changed."""
    if site.read_only:
        return [site_part(site)]
    nav = (("Reviews", "/reviews"),) if site.store.reviews() else ()
    return [site_part(site), review_part(site.store, store_of_run=site.review_store, nav=nav)]


def site_part(site: Site, *, every: float = EVERY) -> Part:
    """Make the part of a server with the pages of a site.

    Args:
        site: with the list of runs.
        every: seconds between two looks at the directories, at least, as long as the server runs.
    """

    @asynccontextmanager
    async def refreshed() -> AsyncIterator[None]:
        ended = threading.Event()
        thread = threading.Thread(target=_refresh, args=(site.index, ended, every), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()

    pages = (runs, run, samples, model, board) + (() if site.read_only else (jobs,))

    def nav() -> list[tuple[str, str]]:
        found = [("Runs", "/runs"), ("Board", "/board"), ("Papers", "/papers"), ("Jobs", "/jobs")]
        absent = {"Board": not makes_board(site.index), "Jobs": site.read_only}
        return [(text, address) for text, address in found if not absent.get(text)]

    return Part("site", site, [page.router for page in pages], nav=nav, lifespan=refreshed)


def _refresh(index: RunIndex, ended: threading.Event, every: float) -> None:
    """Look at the directories again and again, for a tenth of the time at most."""
    took = 0.0
    while not ended.wait(max(every, 10 * took) if took else 0):
        began = time.monotonic()
        try:
            index.refresh()
        except UnshakenError:  # of a database that fails now and may answer later; pages say so meanwhile
            pass
        except Exception:  # whatever it is, the next look may succeed
            log.exception("the folders could not be looked at")
        took = time.monotonic() - began
