from __future__ import annotations

import errno
import pickle
import tracemalloc

import numpy as np
import pytest

from unshaken.core import ids as module
from unshaken.core.errors import DataError
from unshaken.core.ids import CHUNK, Ids

NAMES = ("b/1.png", "a", "größe/ü.png", "\udcff.png", "日本", "c" * 300, "a b")
SLICES = [
    slice(None),
    slice(2, 5),
    slice(-3, None),
    slice(5, 2),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(9, 12),
]


@pytest.fixture(params=[module.HELD, 8], ids=["in memory", "in a file"])
def held(request, monkeypatch):
    monkeypatch.setattr(module, "HELD", request.param)


def test_ids_behave_as_the_tuple_of_the_same_strings(held):
    ids = Ids.of(iter(NAMES))
    assert len(ids) == len(NAMES)
    assert [*ids] == [*NAMES]
    assert [*reversed(ids)] == [*reversed(NAMES)]
    assert [ids[i] for i in range(-7, 7)] == [NAMES[i] for i in range(-7, 7)]
    assert ids[np.int64(2)] == NAMES[2]
    for part in SLICES:
        assert ids[part] == NAMES[part]
        assert NAMES[part] == ids[part]
        assert hash(ids[part]) == hash(NAMES[part])
        assert [*ids[part]] == [*NAMES[part]]
        assert repr(ids[part]) == repr(NAMES[part])
    assert ids[2:][1:3] == NAMES[3:5]
    assert ids[2:][0] == NAMES[2]
    assert ids[1:2] == ("a",)
    assert "日本" in ids
    assert "日" not in ids
    assert ids.index("a") == 1
    assert ids.count("a") == 1
    assert ids + ("x",) == (*NAMES, "x")  # noqa: RUF005
    assert ("x",) + ids == ("x", *NAMES)  # noqa: RUF005
    assert {ids: 1}[NAMES] == 1
    assert pickle.loads(pickle.dumps(ids[1:4])) == NAMES[1:4]


@pytest.mark.parametrize("place", [7, -8, 10**9])
def test_a_place_that_is_none_is_an_index_error(place):
    with pytest.raises(IndexError):
        Ids.of(NAMES)[place]


def test_ids_of_other_strings_are_not_equal():
    ids = Ids.of(["ab", "c"])
    assert ids != Ids.of(["a", "bc"])
    assert ids != ("a", "bc")
    assert ids != Ids.of(["ab"])
    assert ids != ["ab", "c"]
    assert ids == Ids.of(["x", "ab", "c"])[1:]
    assert Ids.of([]) == ()
    assert not Ids.of([])


def test_several_pieces_give_the_strings_in_order(held):
    names = [f"sample {i} ü" if i % 7 == 0 else f"sample {i}" for i in range(2 * CHUNK + 3)]
    ids = Ids.of(names)
    assert [*ids] == names
    assert ids[CHUNK - 1 : CHUNK + 1] == tuple(names[CHUNK - 1 : CHUNK + 1])
    rows = np.random.default_rng(0).permutation(len(names))[: CHUNK + 5]
    assert [*ids.take(rows)] == [names[i] for i in rows]


def test_places_are_those_of_the_names(monkeypatch):
    ids = Ids.of(NAMES)
    assert ids.places(["a", "no", "日本", "b/1.png"]).tolist() == [1, -1, 4, 0]
    assert Ids.of([]).places(["a"]).tolist() == [-1]
    assert ids.places([]).tolist() == []
    assert Ids.of(["a", "b", "a"]).places(["b", "a"]).tolist() == [1, 0]
    monkeypatch.setattr(Ids, "hashes", lambda self: np.zeros(len(self), np.int64))  # all have one hash
    assert ids.places(["a", "no", "日本"]).tolist() == [1, -1, 4]
    assert Ids.of(["a"]).places(["b", "a"]).tolist() == [-1, 0]


def test_many_ids_take_half_of_a_tuple_and_never_are_strings_together():
    def peak(make) -> int:
        tracemalloc.start()
        kept = make()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(kept) == 200_000
        return found

    def names():
        return (f"train/n01440764/n01440764_{i:08d}.JPEG" for i in range(200_000))

    whole = peak(lambda: tuple(names()))
    assert peak(lambda: Ids.of(names())) < whole / 1.5  # one piece of strings, and the buffers
    ids = Ids.of(names())
    assert ids.ends.nbytes + ids.text.nbytes < whole / 1.8  # a string has 40 bytes of its own since Python 3.12
    assert peak(lambda: [None for _ in ids]) < whole / 2


def test_ids_in_a_file_take_no_memory_of_the_process(monkeypatch):
    monkeypatch.setattr(module, "HELD", 1 << 16)
    tracemalloc.start()
    ids = Ids.of(f"{i:036d}" for i in range(200_000))
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 1 << 20 < ids.text.nbytes


def test_a_full_disk_is_one_line(monkeypatch):
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "HELD", 8)
    monkeypatch.setattr(module, "TemporaryFile", full)
    with pytest.raises(DataError, match=r"no room for the ids of the samples .*TMPDIR"):
        Ids.of(NAMES)
