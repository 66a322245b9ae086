"""Opening a store: its address, its tables, and what stands in the way."""

from __future__ import annotations

import sqlite3
import sys
import threading

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from unshaken.core.errors import MissingExtra, ParameterError, RunError
from unshaken.serve.review import _schema
from unshaken.serve.review._schema import open_database
from unshaken.serve.review.store import ReviewStore


def test_the_migrations_make_the_tables_of_the_schema(address):
    database = open_database(address)
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), _schema.metadata) == []
    database.close()


def test_several_open_a_new_store_at_once(address):
    failed, start = [], threading.Barrier(4)

    def open_one():
        try:
            start.wait()
            ReviewStore.open(address).close()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_store_of_a_newer_version_is_refused(address):
    database = open_database(address)
    with database.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(RunError, match="newer version of unshaken"):
        open_database(address)


def test_a_path_and_its_address_are_one(tmp_path):
    ReviewStore.open(tmp_path / "a b%20c.db").close()
    assert [p.name for p in tmp_path.iterdir()] == ["a b%20c.db"]
    with ReviewStore.open(f"sqlite:///{tmp_path}/x.db") as store:
        assert store.address == f"{tmp_path}/x.db"


def test_postgresql_without_its_driver_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"pip install 'unshaken\[postgresql\]'"):
        open_database("postgresql+psycopg://u:p@127.0.0.1/d")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://u:secret@h/d",
        "postgresql://u:secret@h",
        "http://x",
        "://",
        "sqlite+x:///y",
    ],
)
def test_an_address_of_another_form_is_refused_without_its_password(url):
    with pytest.raises(ParameterError, match=r"no address of a store: write sqlite:///PATH") as told:
        ReviewStore.open(url)
    assert "secret" not in str(told.value)


def test_a_database_that_cannot_be_reached_is_one_line_without_its_password(tmp_path):
    with pytest.raises(RunError) as told:
        ReviewStore.open(f"postgresql://ann:secret@/d?host={tmp_path}")
    assert "\n" not in str(told.value)
    assert "secret" not in str(told.value)


def test_what_is_no_store_is_refused(tmp_path):
    (tmp_path / "text.db").write_text("no database, and long enough to be read as one" * 100)
    with pytest.raises(RunError, match="file is not a database"):
        ReviewStore.open(tmp_path / "text.db")
    with pytest.raises(RunError, match="unable to open"):
        ReviewStore.open(tmp_path / "absent" / "r.db")


def test_sqlite_keeps_what_it_acknowledged(tmp_path):
    database = open_database(tmp_path / "r.db")
    with database.reading() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        }
        assert values == {"journal_mode": "wal", "synchronous": 2}
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()
    with sqlite3.connect(tmp_path / "r.db") as plain:
        assert plain.execute("SELECT count(*) FROM verdict").fetchone() == (0,)
    plain.close()
