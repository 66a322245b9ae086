"""A store with one review, in SQLite and in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serve.review.replay import CLASSES, items
from unshaken.serve.review.store import ReviewStore


@pytest.fixture
def store(address) -> Iterator[ReviewStore]:
    """Twelve items in review `r`, read blind by two of the readers ann, bob and cid."""
    with ReviewStore.open(address) as opened:
        opened.create("r", classes=CLASSES, items=items(12))
        for name in ("ann", "bob", "cid"):
            opened.ensure_reader(name)
        yield opened
