"""Readers and their tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from unshaken.core.errors import ParameterError
from unshaken.serve.review.store import ReviewStore


@pytest.fixture
def store(tmp_path):
    with ReviewStore.open(tmp_path / "r.db") as opened:
        yield opened


def test_a_token_names_its_reader_and_is_not_kept(store, tmp_path):
    token = store.add_reader("ann")
    assert store.reader_of(token) == "ann"
    assert store.add_reader("bob") != token
    assert len(token) == 43
    store.close()
    kept = b"".join(path.read_bytes() for path in Path(tmp_path).iterdir())
    assert b"ann" in kept
    assert token.encode() not in kept


@pytest.mark.parametrize("token", ["", "x", "\0", "\ud800", "a" * 10_000])
def test_other_tokens_name_none(store, token):
    store.add_reader("ann")
    store.ensure_reader("local")  # has no token, which no token equals
    assert store.reader_of(token) is None


def test_a_renewed_token_voids_the_one_before(store):
    old = store.add_reader("ann")
    new = store.renew_token("ann")
    assert (store.reader_of(old), store.reader_of(new)) == (None, "ann")


def test_a_reader_is_added_once(store):
    store.ensure_reader("ann")
    store.ensure_reader("ann")
    assert store.readers() == ["ann"]
    with pytest.raises(ParameterError, match="a reader 'ann' already"):
        store.add_reader("ann")
    with pytest.raises(ParameterError, match="no reader 'bob'"):
        store.renew_token("bob")


@pytest.mark.parametrize("name", ["", " ann", "ann ", "a" * 65, "a/b", "a\nb", "<b>", "a\0", "."])
def test_odd_names_are_refused(store, name):
    for add in (store.add_reader, store.ensure_reader):
        with pytest.raises(ParameterError, match="is no name of a reader"):
            add(name)


@pytest.mark.parametrize("name", ["a", "Zoë B.", "ann@example.org", "李"])
def test_names_of_people_are_taken(store, name):
    assert store.reader_of(store.add_reader(name)) == name
