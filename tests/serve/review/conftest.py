"""A store with one review, in SQLite and in PostgreSQL."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.serve.review import postgres
from tests.serve.review.replay import CLASSES, items
from unshaken.serve.review.store import ReviewStore


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    if postgres.programs() is None:
        pytest.skip("no PostgreSQL server: apt-get install postgresql")
    with postgres.server() as address:
        yield address


@pytest.fixture
def database(server) -> Iterator[str]:
    """The address of an empty database in PostgreSQL."""
    admin = sa.create_engine(server.format("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text("DROP DATABASE IF EXISTS review"))
        connection.execute(sa.text("CREATE DATABASE review"))
    admin.dispose()
    return server.format("review")


@pytest.fixture
def quick_folder(tmp_path) -> Iterator[Path]:
    """A folder in memory where there is one: SQLite waits for disks, and tests need not outlive a power cut."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request) -> str:
    if request.param == "postgresql":
        return request.getfixturevalue("database")
    return f"sqlite:///{request.getfixturevalue('quick_folder')}/reviews.db"


@pytest.fixture
def store(address) -> Iterator[ReviewStore]:
    """Twelve items in review `r`, read blind by two of the readers ann, bob and cid."""
    with ReviewStore.open(address) as opened:
        opened.create("r", classes=CLASSES, items=items(12))
        for name in ("ann", "bob", "cid"):
            opened.ensure_reader(name)
        yield opened
