"""`open_site`: the pages of runs as parts of a server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from unshaken.run.cache_dir import cache_dir
from unshaken.serve.part import Part
from unshaken.serve.review.store import ReviewStore
from unshaken.serve.site.pages import runs


@dataclass(frozen=True)
class Site:
    """A place to look at every run.

    Args:
        directories: that hold runs.
        store: of readers and their reviews.
        read_only: nothing is changed or started.
    """

    directories: tuple[str, ...]
    store: ReviewStore
    read_only: bool

    @property
    def parts(self) -> list[Part]:
        """The parts of a server."""
        return [Part("site", self, [runs.router], nav=(("Runs", "/runs"),))]

    def describe(self) -> str:
        """What is served, in a few words."""
        return f"runs in {', '.join(self.directories)}"


@contextmanager
def open_site(
    directories: Sequence[str], db: str | None, *, allow: Sequence[str] = (), read_only: bool = False
) -> Iterator[Site]:
    """Open a site over run directories.

    Args:
        directories: folders or fsspec addresses that hold runs.
        db: address of the database; None for a file in the cache.
        allow: SPECs that started runs may use, besides those of the listed runs.
        read_only: nothing is changed or started.
    """
    with ReviewStore.open(db or _database_of(directories)) as store:
        yield Site(tuple(directories), store, read_only)


def _database_of(directories: Sequence[str]) -> str:
    folder = cache_dir() / "serve"
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.blake2b("\n".join(sorted(directories)).encode(), digest_size=8).hexdigest()
    return str(folder / f"{digest}.db")
