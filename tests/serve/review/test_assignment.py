"""Items divided among readers."""

from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy as sa

from tests.serve.review.replay import CLASSES, items
from unshaken.core.errors import ParameterError
from unshaken.labels.review.verdict import Verdict
from unshaken.serve.review import _schema as t
from unshaken.serve.review.store import ReviewStore


def read_all(store, reader, most=12):
    """Numbers of the items in the order in which a reader answers them."""
    found = []
    while len(found) < most and (item := store.next_item("r", reader)) is not None:
        store.record("r", item.id, reader, Verdict(kind="confirm"), token=f"{reader}{item.id}")
        found.append(item.id)
    return found


@pytest.mark.parametrize("per_item", [1, 2, 3])
def test_shares_are_equal(store, per_item):
    assert store.assign("r", ["ann", "bob", "cid"], per_item=per_item) == dict.fromkeys(
        ["ann", "bob", "cid"], 4 * per_item
    )
    assert store.progress("r").left == dict.fromkeys(["ann", "bob", "cid"], 4 * per_item)


def test_readers_see_theirs_first_and_nothing_is_left_over(store):
    store.assign("r", ["ann", "bob", "cid"])
    first = {name: set(read_all(store, name, 4)) for name in ("ann", "bob", "cid")}
    assert set.union(*first.values()) == set(range(1, 13))
    assert store.progress("r").left == {"ann": 0, "bob": 0, "cid": 0}
    assert set(read_all(store, "ann")) == set(range(1, 13)) - first["ann"]


def test_what_a_reader_who_leaves_has_not_read_goes_to_the_others(store):
    store.assign("r", ["ann", "bob"])
    read = read_all(store, "bob", 2)
    assert store.assign("r", ["ann", "cid"]) == {"ann": 6, "cid": 4}
    assert store.progress("r").left == {"ann": 6, "bob": 0, "cid": 4}
    both = set(read_all(store, "ann", 6)) | set(read_all(store, "cid", 4))
    assert both == set(range(1, 13)) - set(read)


def test_a_reader_without_assigned_items_takes_any(store):
    store.assign("r", ["ann", "bob"])
    assert read_all(store, "cid") == list(range(1, 13))


def test_the_division_follows_the_seed(store):
    def shares(seed):
        store.assign("r", ["cid"])  # whose items go to the others again
        store.assign("r", ["ann", "bob"], seed=seed)
        with store._database.reading() as connection:
            c = t.assignment.c
            return {tuple(row) for row in connection.execute(sa.select(c.item, c.reader))}

    assert shares(1) == shares(1)
    assert len({frozenset(shares(seed)) for seed in range(8)}) > 1


@pytest.mark.parametrize(
    ("readers", "per_item", "words"),
    [([], 1, "no reader"), (["ann", "ann"], 1, "twice"), (["ann"], 2, "per_item"), (["dan"], 1, "no reader 'dan'")],
)
def test_what_cannot_be_assigned_is_refused(store, readers, per_item, words):
    with pytest.raises(ParameterError, match=words):
        store.assign("r", readers, per_item=per_item)
    assert store.progress("r").left == {}


def test_a_store_of_the_first_version_is_brought_up_to_date(tmp_path):
    path = tmp_path / "r.db"
    with ReviewStore.open(path) as store:
        store.create("r", classes=CLASSES, items=items(12))
        store.ensure_reader("ann")
        store.record("r", 1, "ann", Verdict(kind="confirm"), token="1")
    with sqlite3.connect(path) as plain:  # version 0001 is the same without this table and these columns
        plain.execute("DROP TABLE assignment")
        plain.execute("ALTER TABLE item DROP COLUMN stratum")
        plain.execute("ALTER TABLE review DROP COLUMN strata")
        plain.execute("UPDATE alembic_version SET version_num = '0001'")
    plain.close()
    with ReviewStore.open(path) as store:
        assert store.assign("r", ["ann"]) == {"ann": 12}
        assert store.progress("r").readers == {"ann": 1}
        assert store.progress("r").left == {"ann": 11}
        assert store.review("r").strata == ()
